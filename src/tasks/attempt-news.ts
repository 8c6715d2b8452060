import type { MediaInfo } from '../core/media.ts';
import type { StageName, StageProgress, StageState } from '../core/stage.ts';
import type { Warning } from '../core/warning.ts';

export interface PromptRecord {
  readonly promptId: string;
  /** Where it is to be posted; not always where the task was made ready. */
  readonly backend: string;
  /** `null` where the workflow has no input. */
  readonly input: MediaInfo | null;
  /** Of the files that go there, bytes. */
  readonly sourceBytes: number;
}

export interface StageNews extends StageProgress {
  readonly state: StageState;
  /** `performance.now()`; `null` for what is known already, or has not happened. */
  readonly startedAt: number | null;
  readonly finishedAt: number | null;
}

/** What is new about an attempt since it was last written down. Of a stage the latest counts. */
export class AttemptNews {
  readonly stages = new Map<StageName, StageNews>();
  prompt: PromptRecord | null = null;
  /** When the prompt was posted, `performance.now()`. */
  postedAt: number | null = null;
  /** How long it had the GPU, milliseconds; `isTypical`: whether later runs are measured by it. */
  gpu: { readonly ms: number; readonly isTypical: boolean } | null = null;
  /** All that there are of the run by now. */
  warnings: readonly Warning[] | null = null;

  get isEmpty(): boolean {
    return this.stages.size === 0 && !this.isOfAttempt && this.warnings === null;
  }

  /** Whether there is more to write than what its stages do. */
  get isOfAttempt(): boolean {
    return this.prompt !== null || this.postedAt !== null || this.gpu !== null;
  }

  begin(name: StageName): void {
    const startedAt = performance.now();
    this.stages.set(name, {
      state: 'running',
      progress: 0,
      detail: null,
      startedAt,
      finishedAt: null,
    });
  }

  proceed(name: StageName, progress: StageProgress): void {
    const startedAt = this.stages.get(name)?.startedAt ?? null;
    this.stages.set(name, { ...progress, state: 'running', startedAt, finishedAt: null });
  }

  finish(name: StageName, detail: string): void {
    const startedAt = this.stages.get(name)?.startedAt ?? null;
    const finishedAt = performance.now();
    this.stages.set(name, { state: 'success', progress: 100, detail, startedAt, finishedAt });
  }

  skip(name: StageName, detail: string): void {
    const finishedAt = performance.now();
    this.stages.set(name, { state: 'skipped', progress: 100, detail, startedAt: null, finishedAt });
  }
}
