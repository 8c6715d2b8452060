/** Timers that end with whoever set them. */
export class Timers implements Disposable {
  readonly #pending = new Set<NodeJS.Timeout>();

  /** Acts after so long, once, unless the timer is disposed of before. */
  after(ms: number, act: () => void): Disposable {
    const timer = setTimeout(() => {
      this.#pending.delete(timer);
      act();
    }, ms);
    this.#pending.add(timer);
    return {
      [Symbol.dispose]: () => {
        clearTimeout(timer);
        this.#pending.delete(timer);
      },
    };
  }

  [Symbol.dispose](): void {
    for (const timer of this.#pending) clearTimeout(timer);
  }
}
