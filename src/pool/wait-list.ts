/** Somebody who waits, and for what. */
export interface Wait<Wanted, Given> {
  readonly wanted: Wanted;
  readonly resolve: (given: Given) => void;
  readonly reject: (reason: unknown) => void;
}

/** Who waits for something, in the order in which they came. */
export class WaitList<Wanted, Given> {
  #waits: readonly Wait<Wanted, Given>[] = [];

  get waits(): readonly Wait<Wanted, Given>[] {
    return this.#waits;
  }

  /**
   * Waits until it is given.
   *
   * @throws the signal's reason, or that for which it is sent away.
   */
  async wait(wanted: Wanted, signal: AbortSignal): Promise<Given> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<Given>();
    const wait: Wait<Wanted, Given> = { wanted, resolve, reject };
    this.#waits = [...this.#waits, wait];
    const abort = () => this.sendAway(wait, signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    try {
      return await promise;
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  give(wait: Wait<Wanted, Given>, given: Given): void {
    this.#leave(wait);
    wait.resolve(given);
  }

  sendAway(wait: Wait<Wanted, Given>, reason: unknown): void {
    this.#leave(wait);
    wait.reject(reason);
  }

  #leave(wait: Wait<Wanted, Given>): void {
    this.#waits = this.#waits.filter((each) => each !== wait);
  }
}
