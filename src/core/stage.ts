/** The timed parts of a task that clients see, in their order. */
export const stageNames = ['download', 'process', 'upload'] as const;
export type StageName = (typeof stageNames)[number];

export const stageStates = ['pending', 'running', 'success', 'failed', 'skipped'] as const;
export type StageState = (typeof stageStates)[number];

export interface Stage {
  readonly name: StageName;
  readonly state: StageState;
  /** 0 to 100. */
  readonly progress: number;
  /** A few words for people, such as `12.3MB / 45.6MB`. */
  readonly detail: string | null;
  readonly startedAt: Date | null;
  readonly finishedAt: Date | null;
}

/** What a running stage tells about itself. */
export interface StageProgress {
  /** 0 to 100. */
  readonly progress: number;
  readonly detail: string | null;
}
