import { setTimeout as delay } from 'node:timers/promises';
import type { Tempo } from '../core/tempo.ts';
import type { UploadService } from './upload-service.ts';

/** Looks now and then for uploads that nobody needs, after crashes and clients that never came back. */
export class UploadSweep implements AsyncDisposable {
  readonly #uploads: Pick<UploadService, 'sweep'>;
  readonly #tempo: Pick<Tempo['uploads'], 'sweepEveryMs'>;
  readonly #stop = new AbortController();
  #loop: Promise<void> | null = null;

  constructor(
    uploads: Pick<UploadService, 'sweep'>,
    tempo: Pick<Tempo['uploads'], 'sweepEveryMs'>,
  ) {
    this.#uploads = uploads;
    this.#tempo = tempo;
  }

  start(): void {
    this.#loop ??= this.#run(this.#stop.signal);
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#uploads.sweep();
      await delay(this.#tempo.sweepEveryMs, undefined, { signal }).catch(() => {});
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#loop;
  }
}
