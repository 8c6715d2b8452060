import type { Logger } from './logger.ts';

/** What happens to sources that are kept until their runs have ended. */
export class SourceLog {
  readonly #logger: Logger;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Files that a dead gateway left, for runs that have not ended. */
  adopted(files: number): void {
    this.#logger.info({ files }, 'sources.adopted');
  }

  /** It is here all the same, as long as this gateway is. */
  keepFailed(run: string, error: unknown): void {
    this.#logger.warn({ run, err: error }, 'source.not-kept');
  }

  /** Another gateway that needs it asks for it, or reads the link again. */
  publishFailed(run: string, error: unknown): void {
    this.#logger.warn({ run, err: error }, 'source.not-published');
  }

  /** The copy of another gateway cannot be had: the link is read again. */
  copyLost(run: string, error: unknown): void {
    this.#logger.warn({ run, err: error }, 'source.copy-lost');
  }

  /** Of a task that waits. */
  fetchedAhead(run: string): void {
    this.#logger.debug({ run }, 'source.fetched-ahead');
  }

  /** The link is read again after a while, or when the task is begun. */
  fetchAheadFailed(run: string, error: unknown): void {
    this.#logger.debug({ run, err: error }, 'source.not-fetched-ahead');
  }

  /** A later look tries again. */
  lookAheadFailed(error: unknown): void {
    this.#logger.warn({ err: error }, 'sources.look-failed');
  }

  /** A later sweep, or the next start, tries again. */
  removalFailed(run: string, error: unknown): void {
    this.#logger.warn({ run, err: error }, 'source.left-behind');
  }

  sweepFailed(error: unknown): void {
    this.#logger.warn({ err: error }, 'sources.sweep-failed');
  }
}
