/** The right to have a long answer in memory. Disposing of it lets the next one have it. */
export interface Turn extends Disposable {
  /** Aborts when it has taken long and another waits. */
  readonly giveWay: AbortSignal;
}

/**
 * Servers with many custom nodes give answers of tens of megabytes. However many servers there are, one
 * such answer is in memory at a time. Who is slow with one gives way when another waits.
 */
export class LongAnswers {
  readonly #turnMs: number;
  readonly #waiting = new Set<(turn: Turn) => void>();
  #since = 0;
  /** `null` while nobody has a turn. */
  #present: AbortController | null = null;
  #timer: NodeJS.Timeout | undefined;

  /** `turnMs`: how long a turn may last while another waits. */
  constructor(turnMs: number) {
    this.#turnMs = turnMs;
  }

  /** @throws the signal's reason. */
  async take(signal: AbortSignal): Promise<Turn> {
    signal.throwIfAborted();
    if (this.#present === null) return this.#begin();
    const { promise, resolve, reject } = Promise.withResolvers<Turn>();
    const leave = () => {
      if (this.#waiting.delete(resolve)) reject(signal.reason);
    };
    this.#waiting.add(resolve);
    this.#limit();
    signal.addEventListener('abort', leave, { once: true });
    try {
      return await promise;
    } finally {
      signal.removeEventListener('abort', leave);
    }
  }

  #begin(): Turn {
    const turn = new AbortController();
    this.#present = turn;
    this.#since = performance.now();
    this.#limit();
    return { giveWay: turn.signal, [Symbol.dispose]: () => this.#end(turn) };
  }

  #end(turn: AbortController): void {
    if (this.#present !== turn) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#present = null;
    const [next] = this.#waiting;
    if (next === undefined) return;
    this.#waiting.delete(next);
    next(this.#begin());
  }

  /** The present turn comes to an end, now that another waits. */
  #limit(): void {
    if (this.#waiting.size === 0 || this.#timer) return;
    const leftMs = Math.max(0, this.#since + this.#turnMs - performance.now());
    this.#timer = setTimeout(() => this.#present?.abort(), leftMs);
  }
}
