import { setTimeout as delay } from 'node:timers/promises';
import type { UploadService } from './upload-service.ts';

const sweepEveryMs = 3 * 60_000;

/** Looks now and then for uploads that nobody needs, after crashes and clients that never came back. */
export class UploadSweep implements AsyncDisposable {
  readonly #uploads: Pick<UploadService, 'sweep'>;
  readonly #stop = new AbortController();
  #loop: Promise<void> | null = null;

  constructor(uploads: Pick<UploadService, 'sweep'>) {
    this.#uploads = uploads;
  }

  start(): void {
    this.#loop ??= this.#run(this.#stop.signal);
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#uploads.sweep();
      await delay(sweepEveryMs, undefined, { signal }).catch(() => {});
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#loop;
  }
}
