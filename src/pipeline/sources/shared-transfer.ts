import type { StageProgress } from '../../core/stage.ts';
import { untilAborted } from '../../core/until-aborted.ts';
import type { ReportProgress } from '../attempt-journal.ts';
import type { AcquiredSource } from '../download/acquire-source.ts';

/**
 * The transfer of one source, which whoever needs the source may join. It ends with its run, not with the
 * attempt that began it: a link may be good for one reading only.
 */
export class SharedTransfer {
  readonly source: Promise<AcquiredSource>;
  readonly #abort = new AbortController();
  readonly #listeners = new Set<ReportProgress>();
  readonly #over: Promise<void>;

  #isOver = false;

  constructor(fetch: (report: ReportProgress, signal: AbortSignal) => Promise<AcquiredSource>) {
    this.source = fetch(this.#report, this.#abort.signal);
    this.#over = this.source
      .then(({ checked }) => checked)
      // Nobody may wait for it.
      .catch(() => {})
      .finally(() => {
        this.#isOver = true;
      });
  }

  /** Whether nothing of the file is written or looked at any more. */
  get isOver(): boolean {
    return this.#isOver;
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

  /** Breaks it off; resolves when it is over. */
  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#over;
  }

  readonly #report = (progress: StageProgress): void => {
    for (const listener of this.#listeners) listener(progress);
  };
}
