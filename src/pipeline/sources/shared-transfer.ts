import type { StageProgress } from '../../core/stage.ts';
import { untilAborted } from '../../core/until-aborted.ts';
import type { ReportProgress } from '../attempt-journal.ts';
import type { AcquiredSource } from '../download/acquire-source.ts';

/** What goes on between a transfer and the work that it is. */
export interface Passage {
  readonly report: ReportProgress;
  /** Its turn has come: a link is read from now on. */
  readonly onBegun: () => void;
  readonly signal: AbortSignal;
}

/**
 * The transfer of one source, which whoever needs the source may join. It ends with its run, not with the
 * attempt that began it: a link may be good for one reading only.
 */
export class SharedTransfer {
  readonly source: Promise<AcquiredSource>;
  readonly #abort = new AbortController();
  readonly #listeners = new Set<ReportProgress>();
  /** What is done with the file at this moment. */
  readonly #works = new Set<Promise<unknown>>();
  #isBegun = false;
  #isWhole = false;

  constructor(fetch: (passage: Passage) => Promise<AcquiredSource>) {
    const onBegun = () => {
      this.#isBegun = true;
    };
    this.source = fetch({ report: this.#report, onBegun, signal: this.#abort.signal });
    const whole = this.source.then(async ({ checked }) => {
      await checked;
      this.#isWhole = true;
    });
    this.#work(whole);
  }

  /** Whether anything is here, or on its way: until then it waits for its turn, and nothing is lost with it. */
  get isBegun(): boolean {
    return this.#isBegun || this.#isWhole;
  }

  /** Whether the file is good. */
  get isWhole(): boolean {
    return this.#isWhole;
  }

  /** Whether nothing is done with it at this moment, either. */
  get isAtRest(): boolean {
    return this.#isWhole && this.#works.size === 0;
  }

  /** @throws what the transfer ends with; the signal's reason. */
  async join(report: ReportProgress, signal: AbortSignal): Promise<AcquiredSource> {
    this.#listeners.add(report);
    try {
      return await untilAborted(this.source, signal);
    } finally {
      this.#listeners.delete(report);
    }
  }

  /** Does something with the file when it is found good, beside those who use it. `work` never throws. */
  async use(work: (source: AcquiredSource, signal: AbortSignal) => Promise<void>): Promise<void> {
    const { signal } = this.#abort;
    const using = async () => {
      const source = await this.source;
      await source.checked;
      if (!signal.aborted) await work(source, signal);
    };
    await this.#work(using());
  }

  /** Resolves when the file is found good, or there will be none. */
  async over(): Promise<void> {
    await this.use(async () => {});
  }

  /** Breaks everything off; resolves when it is over. */
  async stop(): Promise<void> {
    this.#abort.abort();
    await Promise.all(this.#works);
  }

  async #work(work: Promise<void>): Promise<void> {
    // Whoever joined hears of it.
    const over = work.catch(() => {});
    this.#works.add(over);
    await over;
    this.#works.delete(over);
  }

  readonly #report = (progress: StageProgress): void => {
    for (const listener of this.#listeners) listener(progress);
  };
}
