import type { WriteStream } from 'node:tty';
import { columnsOf, wordsThatFit } from './fold.ts';

/** What a client reads of a task. */
export interface ShownTask {
  readonly status: string;
  readonly stages: readonly {
    readonly name: string;
    readonly status: string;
    readonly progress: number;
    readonly duration: number | null;
    readonly detail: string | null;
  }[];
  readonly output: {
    readonly url: string;
    readonly size_mb: number;
    readonly metadata: {
      readonly width?: number;
      readonly height?: number;
      readonly input: { readonly width: number; readonly height: number };
    };
  } | null;
  readonly error: string | null;
}

export type ShownStage = ShownTask['stages'][number];

const widestTrack = 30;
/** Of the name, the per cent and the seconds, with the spaces between them. */
const figures = 9 + 6 + 2 + 8;
/** What a stage is about should have this much. */
const words = 25;

/** A bar for each stage: redrawn in place on a terminal, one line for each that ends elsewhere. */
export class StageBars {
  readonly #out: WriteStream;
  readonly #ended = new Set<string>();
  #drawn = 0;

  constructor(out: WriteStream) {
    this.#out = out;
  }

  draw({ stages }: ShownTask): void {
    if (this.#out.isTTY) this.#redraw(stages);
    else this.#append(stages);
  }

  #redraw(stages: readonly ShownStage[]): void {
    // In the last column some terminals begin a line of their own.
    const columns = columnsOf(this.#out) - 1;
    if (this.#drawn > 0) this.#out.moveCursor(0, -this.#drawn);
    for (const stage of stages) {
      this.#out.clearLine(0);
      this.#out.write(`${stageBar(stage, columns)}\n`);
    }
    this.#drawn = stages.length;
  }

  #append(stages: readonly ShownStage[]): void {
    for (const stage of stages) {
      const hasEnded = stage.status !== 'pending' && stage.status !== 'running';
      if (!hasEnded || this.#ended.has(stage.name)) continue;
      this.#ended.add(stage.name);
      this.#out.write(`${stageBar(stage, Number.POSITIVE_INFINITY)}\n`);
    }
  }
}

/** The bar gives way to the words, and the words are cut between two of them. */
export function stageBar(
  { name, progress, duration, detail }: ShownStage,
  columns: number,
): string {
  const width = Math.max(0, Math.min(widestTrack, columns - figures - words));
  const done = Math.round((progress / 100) * width);
  const track = '█'.repeat(done) + '░'.repeat(width - done);
  const seconds = duration === null ? '' : `${duration.toFixed(1)} s`;
  const start = `${name.padEnd(9)}${track} ${`${progress}%`.padStart(4)}  ${seconds.padEnd(8)}`;
  return `${start}${wordsThatFit(detail ?? '', columns - start.length)}`.trimEnd();
}
