/** As many as a server gives in a minute while it has a prompt. */
const remembered = 30;

/** How long a server took for its last answers. One that is busy is late with everything. */
export class AnswerTimes {
  readonly #last: number[] = [];

  add(ms: number): void {
    this.#last.push(Math.ceil(ms));
    if (this.#last.length > remembered) this.#last.shift();
  }

  /** The slowest of them, whole milliseconds. */
  get slowestMs(): number {
    return Math.max(0, ...this.#last);
  }
}
