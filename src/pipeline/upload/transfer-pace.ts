import type { Readable } from 'node:stream';
import type { WatchedStream } from '../../timing/floor.ts';
import type { ReportProgress } from '../attempt-journal.ts';
import { speed, transferProgress } from '../format.ts';

/** Who is given the result. */
export type Taker = 'store' | 'target';

/** How one try to store an output gets on. Of one that lasts, it is told whom it waits for. */
export class TransferPace {
  readonly #report: ReportProgress;
  readonly #taker: Taker;
  readonly #startedAt = performance.now();
  readonly #read: WatchedStream[] = [];
  #stored = 0;
  #whole: number | null = null;
  #lasts = false;

  constructor(report: ReportProgress, taker: Taker) {
    this.#report = report;
    this.#taker = taker;
  }

  /** A stream that the ComfyUI server sends. */
  reading(stream: WatchedStream): Readable {
    this.#read.push(stream);
    return stream;
  }

  /** So many bytes of the whole are stored. */
  stored(bytes: number, whole: number): void {
    this.#stored = bytes;
    this.#whole = whole;
    this.#tell();
  }

  lasts(): void {
    this.#lasts = true;
    this.#tell();
  }

  #tell(): void {
    const { progress, detail } = transferProgress(this.#stored, this.#whole);
    this.#report({ progress, detail: this.#lasts ? `${detail}, ${this.#slowness}` : detail });
  }

  get #slowness(): string {
    const elapsedMs = performance.now() - this.#startedAt;
    const sum = (count: (stream: WatchedStream) => number) =>
      this.#read.reduce((total, stream) => total + count(stream), 0);
    if (sum(({ waitedMs }) => waitedMs) > elapsedMs / 2) {
      return `the ComfyUI server sends ${speed(
        sum(({ bytes }) => bytes),
        elapsedMs,
      )}`;
    }
    return `the ${this.#taker} takes ${speed(this.#stored, elapsedMs)}`;
  }
}
