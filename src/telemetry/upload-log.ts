import type { Logger } from './logger.ts';

/** What happens to files that clients send. */
export class UploadLog {
  readonly #logger: Logger;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** A later sweep tries again. */
  removalFailed(upload: string, error: unknown): void {
    this.#logger.warn({ upload, err: error }, 'upload.left-behind');
  }

  sweepFailed(error: unknown): void {
    this.#logger.warn({ err: error }, 'upload.sweep-failed');
  }
}
