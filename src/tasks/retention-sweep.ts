import { setTimeout as delay } from 'node:timers/promises';
import type { Tempo } from '../core/tempo.ts';
import type { ResultService } from './result-service.ts';

/** Looks now and then for results whose time is over, and for objects that are nobody's. */
export class RetentionSweep implements AsyncDisposable {
  readonly #results: Pick<ResultService, 'sweep'>;
  readonly #removeOrphans: (signal: AbortSignal) => Promise<void>;
  readonly #tempo: Tempo['results'];
  readonly #stop = new AbortController();
  #loops: Promise<unknown> | null = null;

  constructor(
    results: Pick<ResultService, 'sweep'>,
    removeOrphans: (signal: AbortSignal) => Promise<void>,
    tempo: Tempo['results'],
  ) {
    this.#tempo = tempo;
    this.#results = results;
    this.#removeOrphans = removeOrphans;
  }

  start(): void {
    this.#loops ??= Promise.all([
      this.#every(this.#tempo.sweepEveryMs, (signal) => this.#results.sweep(signal)),
      this.#every(this.#tempo.orphansEveryMs, this.#removeOrphans),
    ]);
  }

  async #every(periodMs: number, round: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await round(signal);
      // Several gateways come at different times.
      const pauseMs = periodMs * (0.75 + Math.random() / 2);
      await delay(pauseMs, undefined, { signal }).catch(() => {});
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#loops;
  }
}
