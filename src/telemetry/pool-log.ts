import type { Logger } from './logger.ts';

/** One function for each thing that happens to the pool. */
export class PoolLog {
  readonly #logger: Logger;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  backendTaken(backend: string): void {
    this.#logger.info({ backend }, 'lease.taken');
  }

  backendLeft(backend: string): void {
    this.#logger.info({ backend }, 'lease.given-up');
  }

  discoveryFailed(error: unknown): void {
    this.#logger.warn({ err: error }, 'discovery.failed');
  }

  syncFailed(error: unknown): void {
    this.#logger.error({ err: error }, 'pool.unsynced');
  }
}
