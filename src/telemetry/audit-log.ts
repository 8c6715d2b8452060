import type { OperatorAct } from '../core/operator-event.ts';
import type { Logger } from './logger.ts';

/** What operators do. */
export class AuditLog {
  readonly #logger: Logger;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  acted(act: OperatorAct): void {
    this.#logger.info(act, 'operator.acted');
  }

  /** It is done all the same; this line is what is left of it. */
  unrecorded(act: OperatorAct, error: unknown): void {
    this.#logger.error({ ...act, err: error }, 'operator.unrecorded');
  }

  sweepFailed(error: unknown): void {
    this.#logger.warn({ err: error }, 'audit.sweep-failed');
  }
}
