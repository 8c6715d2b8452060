/** Wakes the one who waits: at a ring, or when time is up. A ring before the wait ends it at once. */
export class Alarm {
  #hasRung = false;
  #wake = () => {};

  /** Bound, so that it can be handed out as a listener. */
  readonly ring = (): void => {
    this.#hasRung = true;
    this.#wake();
  };

  /** Resolves at a ring, after so long, or when the signal aborts; tells whether it rang. */
  async wait(ms: number, signal: AbortSignal): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const wake = () => resolve();
    this.#wake = wake;
    const timer = setTimeout(wake, ms);
    signal.addEventListener('abort', wake, { once: true });
    if (this.#hasRung || signal.aborted) wake();
    await promise;
    clearTimeout(timer);
    signal.removeEventListener('abort', wake);
    const hasRung = this.#hasRung;
    this.#hasRung = false;
    return hasRung;
  }
}
