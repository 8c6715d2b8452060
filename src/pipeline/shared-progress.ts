import type { ReportProgress } from './attempt-journal.ts';

/** The progress of one stage in which several files are moved: their mean. */
export class SharedProgress {
  readonly #report: ReportProgress;
  readonly #parts: number[];

  constructor(report: ReportProgress, parts: number) {
    this.#report = report;
    this.#parts = Array<number>(parts).fill(0);
  }

  /** Takes the progress of the file with that index. */
  part(index: number): ReportProgress {
    return ({ progress, detail }) => {
      this.#parts[index] = progress;
      const sum = this.#parts.reduce((total, each) => total + each, 0);
      this.#report({ progress: Math.floor(sum / this.#parts.length), detail });
    };
  }
}
