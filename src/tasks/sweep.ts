import { every } from '../timing/every.ts';

/** What is looked for in each round, such as results whose time is over. */
export interface SweepRound {
  readonly everyMs: number;
  readonly look: (signal: AbortSignal) => Promise<void>;
}

/** Several gateways come at different times. */
const jitter = 0.25;

/** Looks now and then for what nobody needs, after crashes and clients that never came back. */
export class Sweep implements AsyncDisposable {
  readonly #rounds: readonly SweepRound[];
  readonly #stop = new AbortController();
  #loops: Promise<unknown> | null = null;

  constructor(rounds: readonly SweepRound[]) {
    this.#rounds = rounds;
  }

  start(): void {
    this.#loops ??= Promise.all(
      this.#rounds.map(({ everyMs, look }) => every(everyMs, this.#stop.signal, look, { jitter })),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#loops;
  }
}
