import { pipeline, type Readable, Transform, type TransformCallback } from 'node:stream';

/** How slow one side of a transfer may be. */
export interface Floor {
  /** Its speed is judged over this time. */
  readonly floorDeadlineMs: number;
  readonly minBytesPerSecond: number;
}

/** A result of 100 MB takes an hour at this speed. */
export const slowestBytesPerSecond = 32 * 1024;

/**
 * Judges one side of a transfer: who sends, or who takes. Only the time counts for which that side is
 * waited for, so that it is never blamed for the other one.
 */
export class SpeedWatch {
  readonly #floor: Floor;
  readonly #onSlow: () => void;
  /** Of the time that is judged next. */
  #waitedMs = 0;
  #bytes = 0;
  #wait: { readonly since: number; readonly timer: NodeJS.Timeout } | null = null;
  #wholeMs = 0;

  /** `onSlow` hears of a stretch of `floorDeadlineMs` that was too slow. */
  constructor(floor: Floor, onSlow: () => void) {
    this.#floor = floor;
    this.#onSlow = onSlow;
  }

  /** How long the side was waited for in all, milliseconds. */
  get wholeMs(): number {
    return this.#wholeMs + (this.#wait ? performance.now() - this.#wait.since : 0);
  }

  /** From now on the side is waited for; more than once is as once. */
  waiting(): void {
    if (this.#wait) return;
    const leftMs = Math.max(0, this.#floor.floorDeadlineMs - this.#waitedMs);
    const timer = setTimeout(() => {
      this.#stopWaiting();
      if (this.#isFastEnough()) this.waiting();
    }, leftMs);
    this.#wait = { since: performance.now(), timer };
  }

  /** The side has done so much; it is not waited for until `waiting` is called again. */
  moved(bytes: number): void {
    this.#bytes += bytes;
    this.#stopWaiting();
    if (this.#waitedMs >= this.#floor.floorDeadlineMs) this.#isFastEnough();
  }

  /** Nothing is judged any more. */
  stop(): void {
    this.#stopWaiting();
  }

  #stopWaiting(): void {
    if (!this.#wait) return;
    clearTimeout(this.#wait.timer);
    const ms = performance.now() - this.#wait.since;
    this.#waitedMs += ms;
    this.#wholeMs += ms;
    this.#wait = null;
  }

  #isFastEnough(): boolean {
    const isSlow = this.#bytes < (this.#floor.minBytesPerSecond * this.#waitedMs) / 1_000;
    this.#waitedMs = 0;
    this.#bytes = 0;
    if (isSlow) this.#onSlow();
    return !isSlow;
  }
}

/** The same bytes, which end with `tooSlow` where the stream brings too few of them to who waits. */
export function aboveFloor(stream: Readable, floor: Floor, tooSlow: () => Error): WatchedStream {
  const watched = new WatchedStream(floor, tooSlow);
  pipeline(stream, watched, () => {});
  return watched;
}

export class WatchedStream extends Transform {
  readonly #watch: SpeedWatch;
  #bytes = 0;

  constructor(floor: Floor, tooSlow: () => Error) {
    super();
    this.#watch = new SpeedWatch(floor, () => this.destroy(tooSlow()));
  }

  /** How many have come. */
  get bytes(): number {
    return this.#bytes;
  }

  /** How long its reader waited for them, milliseconds. */
  get waitedMs(): number {
    return this.#watch.wholeMs;
  }

  /** The reader wants more. */
  override _read(size: number): void {
    this.#watch.waiting();
    super._read(size);
  }

  override _transform(chunk: Buffer, _: BufferEncoding, done: TransformCallback): void {
    this.#bytes += chunk.length;
    this.#watch.moved(chunk.length);
    done(null, chunk);
  }

  override _flush(done: TransformCallback): void {
    this.#watch.stop();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#watch.stop();
    super._destroy(error, done);
  }
}
