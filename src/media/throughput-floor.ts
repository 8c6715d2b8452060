import { sourceTimeout } from './source-errors.ts';

export interface FloorOptions {
  /** A source slower than `minBytesPerSecond` over so long is given up. */
  readonly floorDeadlineMs: number;
  readonly minBytesPerSecond: number;
}

/** A source that drips just fast enough for the idle deadline would hold its place for days. */
export class ThroughputFloor {
  readonly #options: FloorOptions;
  #since = performance.now();
  #bytes = 0;

  constructor(options: FloorOptions) {
    this.#options = options;
  }

  /** @throws GatewayError `source_timeout`. */
  check(bytes: number): void {
    const { floorDeadlineMs, minBytesPerSecond } = this.#options;
    this.#bytes += bytes;
    const elapsedMs = performance.now() - this.#since;
    if (elapsedMs < floorDeadlineMs) return;
    if (this.#bytes < (minBytesPerSecond * elapsedMs) / 1000) throw sourceTimeout(null);
    this.#since = performance.now();
    this.#bytes = 0;
  }
}
