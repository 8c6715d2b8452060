/** The GPU of an emulated process, as far as time shows it: its speed, and the model it holds. */
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';

export class Gpu {
  readonly #slowdown: number;
  #model = '';

  constructor(slowdown: number) {
    this.#slowdown = slowdown;
  }

  holds(model: string): boolean {
    return this.#model === model;
  }

  /** The model that it holds makes room at once. Disks are not slowed down. */
  async load(model: string, ms: number, signal: AbortSignal): Promise<void> {
    this.#model = '';
    await untilDue(performance.now() + ms, signal);
    this.#model = model;
  }

  /** ComfyUI keeps what its last prompt used, and lets go of the rest when the next one starts. */
  keepOnly(models: readonly string[]): void {
    if (!models.includes(this.#model)) this.#model = '';
  }

  unload(): void {
    this.#model = '';
  }

  /** Takes the time, and calls `onStep` at the end of each of its equal parts. */
  async compute(
    ms: number,
    steps: number,
    signal: AbortSignal,
    onStep: (step: number) => Promise<void>,
  ): Promise<void> {
    const startedAt = performance.now();
    for (let step = 1; step <= steps; step++) {
      await untilDue(startedAt + (ms * this.#slowdown * step) / steps, signal);
      await onStep(step);
    }
  }
}

/** On `performance.now()`'s clock, and never early, as a timer alone may be by a millisecond. */
async function untilDue(due: number, signal: AbortSignal): Promise<void> {
  let left = due - performance.now();
  // Steps closer together than a timer can tell go one a turn, so that an interrupt is still heard.
  if (left <= 0) await nextTurn(undefined, { signal });
  for (; left > 0; left = due - performance.now()) await delay(left, undefined, { signal });
}
