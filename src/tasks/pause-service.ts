import type { Audit } from '../audit/audit.ts';
import { GatewayError, invalidField } from '../core/errors.ts';
import { didYouMean } from '../core/nearest.ts';
import type { Pause, Paused } from '../core/pause.ts';
import { reaching } from '../db/errors.ts';
import type { Notices } from '../db/notices.ts';
import type { PauseStore, PauseTerms } from './pause-store.ts';
import type { QueueStats } from './queue-stats.ts';

export interface PauseServiceParts {
  readonly pauses: PauseStore;
  readonly stats: Pick<QueueStats, 'counts'>;
  /** What lies in the folder, whole or not. */
  readonly workflows: { readonly entries: readonly { readonly name: string }[] };
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
   * From now on nothing new of it is begun, by any gateway; what runs goes on. A workflow is one that has a file or
   * had a task: a pause by a name that was misspelt would hold nothing, and nobody would know. Tenants come as they like.
   *
   * @throws GatewayError `not_found` for a workflow that there is not; `invalid_request` for an end that lies in the
   *   past; `unavailable`.
   */
  async pause(actor: string, paused: Paused, terms: PauseTerms): Promise<void> {
    if (terms.until && terms.until.getTime() <= Date.now()) {
      throw invalidField('until', 'must lie in the future');
    }
    if (paused.kind === 'workflow') await this.#checkWorkflow(paused.name);
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

  async #checkWorkflow(name: string): Promise<void> {
    const { stats, workflows } = this.#parts;
    const inFolder = workflows.entries.map((entry) => entry.name);
    if (inFolder.includes(name)) return;
    const known = [...inFolder, ...(await reaching(stats.counts())).keys()];
    if (known.includes(name)) return;
    const hint = didYouMean(name, known);
    throw new GatewayError('not_found', `There is no workflow ${name}${hint}`);
  }
}
