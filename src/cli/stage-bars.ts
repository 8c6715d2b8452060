import type { WriteStream } from 'node:tty';

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

type ShownStage = ShownTask['stages'][number];

const width = 30;

/** A bar for each stage: redrawn in place on a terminal, one line for each that ends elsewhere. */
export class StageBars {
  readonly #out: WriteStream;
  readonly #told = new Set<string>();
  #drawn = 0;

  constructor(out: WriteStream) {
    this.#out = out;
  }

  draw({ stages }: ShownTask): void {
    if (this.#out.isTTY) this.#redraw(stages.map(bar));
    else this.#append(stages);
  }

  #redraw(lines: readonly string[]): void {
    if (this.#drawn > 0) this.#out.moveCursor(0, -this.#drawn);
    for (const line of lines) {
      this.#out.clearLine(0);
      this.#out.write(`${line.slice(0, this.#out.columns - 1)}\n`);
    }
    this.#drawn = lines.length;
  }

  #append(stages: readonly ShownStage[]): void {
    for (const stage of stages) {
      const hasEnded = stage.status !== 'pending' && stage.status !== 'running';
      if (!hasEnded || this.#told.has(stage.name)) continue;
      this.#told.add(stage.name);
      this.#out.write(`${bar(stage)}\n`);
    }
  }
}

function bar({ name, progress, duration, detail }: ShownStage): string {
  const done = Math.round((progress / 100) * width);
  const track = '█'.repeat(done) + '░'.repeat(width - done);
  const seconds = duration === null ? '' : `${duration.toFixed(1)} s`;
  return `${name.padEnd(9)}${track} ${`${progress}%`.padStart(4)}  ${seconds.padEnd(8)}${detail ?? ''}`;
}
