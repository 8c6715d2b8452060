const windowMs = 5 * 60_000;
/** What is over is kept summed up by such slices: however often it changes, there are few of them. */
const sliceMs = 1_000;

/** Which share of the last five minutes a backend was at work. All instants come from the caller. */
export class BusyMeter {
  readonly #startedAt: number;
  /** Busy milliseconds by slice, counted from the start; the oldest first. */
  readonly #slices = new Map<number, number>();
  /** How many have begun and not ended. */
  #depth = 0;
  #busySince = 0;

  constructor(atMs: number) {
    // Whole milliseconds throughout: with fractions, the end of a slice need not lie after its start.
    this.#startedAt = Math.round(atMs);
  }

  begin(atMs: number): void {
    if (this.#depth === 0) this.#busySince = Math.round(atMs);
    this.#depth += 1;
  }

  end(atMs: number): void {
    if (this.#depth === 0) return;
    this.#depth -= 1;
    if (this.#depth === 0) this.#record(this.#busySince, Math.round(atMs));
  }

  /** 0 to 1; of a meter that is younger than five minutes, the share of its life. */
  share(nowMs: number): number {
    const from = Math.max(this.#startedAt, nowMs - windowMs);
    if (nowMs <= from) return 0;
    let busyMs = this.#depth > 0 ? Math.max(0, nowMs - Math.max(from, this.#busySince)) : 0;
    for (const [slice, ms] of this.#slices) busyMs += ms * this.#shareAfter(from, slice);
    return Math.min(1, busyMs / (nowMs - from));
  }

  #record(from: number, to: number): void {
    this.#forgetBefore(to - windowMs);
    // What is older than the window no longer counts, and need not be walked through.
    for (let at = Math.max(from, to - windowMs, this.#startedAt); at < to; ) {
      const slice = this.#sliceAt(at);
      const end = Math.min(to, this.#startOf(slice + 1));
      this.#slices.set(slice, (this.#slices.get(slice) ?? 0) + end - at);
      at = end;
    }
  }

  #forgetBefore(from: number): void {
    for (const slice of this.#slices.keys()) {
      if (this.#startOf(slice + 1) > from) return;
      this.#slices.delete(slice);
    }
  }

  /** How much of the slice lies in the window: less than all of it only for the oldest. */
  #shareAfter(from: number, slice: number): number {
    const share = (this.#startOf(slice + 1) - from) / sliceMs;
    return Math.min(1, Math.max(0, share));
  }

  #sliceAt(atMs: number): number {
    return Math.floor((atMs - this.#startedAt) / sliceMs);
  }

  #startOf(slice: number): number {
    return this.#startedAt + slice * sliceMs;
  }
}
