import type { OperatorAct, OperatorEvent } from '../core/operator-event.ts';
import { reaching } from '../db/errors.ts';
import type { AuditLog } from '../telemetry/audit-log.ts';
import type { AuditStore } from './audit-store.ts';

export interface AuditParts {
  readonly store: Pick<AuditStore, 'add' | 'newest' | 'gateway'>;
  readonly log: AuditLog;
}

/** Who did what to the gateway: services tell of what operators had them do, and operators read it. */
export class Audit {
  readonly #parts: AuditParts;

  constructor(parts: AuditParts) {
    this.#parts = parts;
  }

  /** The gateway that records bear. */
  get gateway(): string {
    return this.#parts.store.gateway;
  }

  /** An act is done, and its own statement has recorded it. */
  recorded(act: OperatorAct): void {
    this.#parts.log.acted(act);
  }

  /**
   * An act is done that is no write to the database, and is recorded now. It cannot be undone: a record that
   * fails is logged, and is no failure of the act.
   */
  async record(act: OperatorAct): Promise<void> {
    const { store, log } = this.#parts;
    log.acted(act);
    await store.add(act).catch((error) => log.unrecorded(act, error));
  }

  /** @throws GatewayError `unavailable`. */
  async newest(limit: number, before: number | null): Promise<readonly OperatorEvent[]> {
    return await reaching(this.#parts.store.newest(limit, before));
  }
}
