import type { Audit } from '../audit/audit.ts';
import { GatewayError, invalidField } from '../core/errors.ts';
import type { Pause, Paused } from '../core/pause.ts';
import { reaching } from '../db/errors.ts';
import type { Notices } from '../db/notices.ts';
import type { PauseStore, PauseTerms } from './pause-store.ts';

export interface PauseServiceParts {
  readonly pauses: PauseStore;
  readonly audit: Pick<Audit, 'recorded'>;
  readonly notices: Pick<Notices, 'tell'>;
}

/** What operators do to what is begun: nothing of the pool, of a workflow or of a tenant. `actor`: who does. */
export class PauseService {
  readonly #parts: PauseServiceParts;

  constructor(parts: PauseServiceParts) {
    this.#parts = parts;
  }

  /** @throws GatewayError `unavailable`. */
  async list(): Promise<readonly Pause[]> {
    return await reaching(this.#parts.pauses.list());
  }

  /**
   * From now on nothing new of it is begun, by any gateway; what runs goes on.
   *
   * @throws GatewayError `invalid_request` for an end that lies in the past; `unavailable`.
   */
  async pause(actor: string, paused: Paused, terms: PauseTerms): Promise<void> {
    if (terms.until && terms.until.getTime() <= Date.now()) {
      throw invalidField('until', 'must lie in the future');
    }
    const act = await reaching(this.#parts.pauses.pause(actor, paused, terms));
    if (act) this.#parts.audit.recorded(act);
  }

  /** @throws GatewayError `not_found` where it is not paused; `unavailable`. */
  async resume(actor: string, paused: Paused): Promise<void> {
    const { pauses, audit, notices } = this.#parts;
    const act = await reaching(pauses.resume(actor, paused));
    if (!act) throw new GatewayError('not_found', 'That is not paused');
    audit.recorded(act);
    notices.tell('ready');
  }
}
