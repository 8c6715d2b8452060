import type { Logger } from './logger.ts';

/** What happens to results after their tasks have completed. */
export class ResultLog {
  readonly #logger: Logger;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** `tasks`: of how many. */
  removed(tasks: number): void {
    this.#logger.info({ tasks }, 'results.removed');
  }

  /** A later sweep tries again. */
  removalFailed(task: string, error: unknown): void {
    this.#logger.warn({ task, err: error }, 'result.left-behind');
  }

  /** Objects that a dead gateway left. */
  orphansRemoved(objects: number): void {
    this.#logger.info({ objects }, 'orphans.removed');
  }

  sweepFailed(error: unknown): void {
    this.#logger.warn({ err: error }, 'results.sweep-failed');
  }
}
