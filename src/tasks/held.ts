/** A value that is read again when it is older than that; those who ask together read once. */
export class Held<T> {
  readonly #holdMs: number;
  readonly #read: () => Promise<T>;
  #at = Number.NEGATIVE_INFINITY;
  #value: Promise<T> | null = null;

  constructor(holdMs: number, read: () => Promise<T>) {
    this.#holdMs = holdMs;
    this.#read = read;
  }

  async get(): Promise<T> {
    if (!this.#value || performance.now() - this.#at > this.#holdMs) {
      this.#at = performance.now();
      this.#value = this.#read();
      // A failure is not kept for those who ask next.
      this.#value.catch(() => {
        this.#value = null;
      });
    }
    return await this.#value;
  }

  /** Whoever asks next reads again. */
  outdate(): void {
    this.#at = Number.NEGATIVE_INFINITY;
  }
}
