import type { Stage, StageName } from './stage.ts';

/** What a stage is worth of the whole, 100 together: nearly all the time goes into the process. */
const worth: Record<StageName, number> = { download: 10, process: 80, upload: 10 };

/** How far a task has come, 0 to 100; 100 only when the last of its stages is over. */
export function overallProgress(
  stages: readonly Pick<Stage, 'name' | 'state' | 'progress'>[],
): number {
  const done = stages.reduce((sum, { name, state, progress }) => {
    const share =
      state === 'success' || state === 'skipped' ? 100 : state === 'running' ? progress : 0;
    return sum + worth[name] * share;
  }, 0);
  return Math.floor(done / 100);
}
