import type { z } from '@hono/zod-openapi';
import type { PictureKind } from '../../../core/media.ts';
import { overallProgress } from '../../../core/overall-progress.ts';
import { secretOfResult } from '../../../core/result-key.ts';
import type { StageName } from '../../../core/stage.ts';
import type { ResultUsage } from '../../../tasks/result-service.ts';
import type { TaskView } from '../../../tasks/task-service.ts';
import { type cacheStatus, keptParams, type status } from './schema.ts';

const messages: Record<StageName, string> = {
  download: 'Preparing the file...',
  process: 'Processing...',
  upload: 'Saving the result...',
};

/** `isGuarded`: whether keys are asked for, which an `<img>` cannot send. */
export function presentStatus(task: TaskView, isGuarded: boolean): z.infer<typeof status> {
  const { state, stages, runAfter, error } = task;
  switch (state) {
    case 'pending': {
      const message = runAfter ? 'Waiting for another try...' : 'Waiting for a free GPU...';
      return { status: state, progress: 0, message };
    }
    case 'processing': {
      const running = stages.find((stage) => stage.state === 'running');
      const message = messages[running?.name ?? 'download'];
      return { status: state, progress: overallProgress(stages), message };
    }
    case 'completed':
      return { status: state, result_path: presentResultPath(task, isGuarded) };
    case 'failed':
      return { status: state, error: error?.message ?? 'The task failed' };
    case 'canceled':
      return { status: 'failed', error: 'The task was canceled' };
  }
}

/** As clients are to ask for it. Without a key, the secret shows that it was given to them. */
function presentResultPath(task: TaskView, isGuarded: boolean): string {
  const path = encodeURI(resultPath(task) ?? '');
  return isGuarded ? `${path}?id=${secretOf(task)}` : path;
}

/** What opens its result without a key; of a result from before there were random bits, its id. */
export function secretOf({ id, outputs: [main] }: TaskView): string {
  return (main && secretOfResult(main.key)) ?? id;
}

/** Where the result of a completed task is served, not encoded; `null` of others. */
export function resultPath(task: TaskView): string | null {
  const { id, kind, params, outputs, finishedAt, state } = task;
  const [main] = outputs;
  if (state !== 'completed' || !main || !finishedAt) return null;
  const { task_type, file_name } = keptParams.parse(params);
  const seconds = Math.floor(finishedAt.getTime() / 1_000);
  const extension = main.key.slice(main.key.lastIndexOf('.'));
  const name = `${seconds}_${id.slice(0, 8)}_${file_name}${extension}`;
  return `/static_results/${kind}s/${task_type}/processed/${name}`;
}

export function presentCacheStatus(usage: readonly ResultUsage[]): z.infer<typeof cacheStatus> {
  const megabytes = (kind: PictureKind) => {
    const bytes = usage.find((each) => each.kind === kind)?.storedBytes ?? 0;
    return Math.round((bytes / 1024 ** 2) * 100) / 100;
  };
  return { image_cache_mb: megabytes('image'), video_cache_mb: megabytes('video') };
}
