/** Ten times what a server says while nodes tick without a pause. */
const mostPerWindow = 500;
/** A message counts once for each of these. */
const countedBytes = 16 * 1024;

/** What is read from and may be held back. */
export interface Pausable {
  pause(): void;
  resume(): void;
}

/**
 * Holds a server back that says more than anybody has to hear: reading it would leave no time for the
 * others. Nothing is lost; a server that goes on for long does not answer pings any more.
 */
export class FloodGate {
  readonly #source: Pausable;
  readonly #windowMs: number;
  #count = 0;
  #timer: NodeJS.Timeout | null = null;

  constructor(source: Pausable, windowMs: number) {
    this.#source = source;
    this.#windowMs = windowMs;
  }

  /** A message has come. */
  passed(bytes: number): void {
    this.#timer ??= setTimeout(() => this.#reopen(), this.#windowMs);
    const before = this.#count;
    this.#count += 1 + Math.floor(bytes / countedBytes);
    if (before < mostPerWindow && this.#count >= mostPerWindow) this.#source.pause();
  }

  close(): void {
    if (this.#timer) clearTimeout(this.#timer);
  }

  #reopen(): void {
    this.#timer = null;
    const wasFull = this.#count >= mostPerWindow;
    this.#count = 0;
    if (wasFull) this.#source.resume();
  }
}
