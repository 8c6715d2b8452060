import type { z } from '@hono/zod-openapi';
import { pictureOf } from '../../../core/media.ts';
import { overallProgress } from '../../../core/overall-progress.ts';
import type { Stage, StageState } from '../../../core/stage.ts';
import { hasEnded } from '../../../core/task.ts';
import type { TaskView } from '../../../tasks/task-service.ts';
import { linkTo } from '../../link-base.ts';
import type { managedTask, managedTaskStates, taskAccepted } from './schema.ts';

type ManagedTaskBody = z.infer<typeof managedTask>;
type ManagedTaskState = (typeof managedTaskStates)[number];
type Result = NonNullable<ManagedTaskBody['result']>;
type Classification = NonNullable<Result['classification']>;

/** Sides that differ by less make a picture neither upright nor broad: 5:4 is broad, 7:6 is not. */
const squareUpTo = 1.2;

export function presentAccepted(task: TaskView): z.infer<typeof taskAccepted> {
  return {
    task_id: task.id,
    state: presentState(task),
    submitted_at: presentInstant(task.createdAt),
  };
}

/** `base`: what its links begin with. */
export function presentTask(task: TaskView, base: string): ManagedTaskBody {
  const state = presentState(task);
  const hasFailed = state === 'FAILURE' || state === 'TIMEOUT';
  // A task that waits for another attempt shows its last error to operators; its client only waits.
  const startedAt = state === 'PENDING' ? null : task.startedAt;
  return {
    task_id: task.id,
    state,
    progress: progressOf(task),
    result: state === 'SUCCESS' ? presentResult(task, base) : null,
    error: hasFailed ? (task.error?.message ?? null) : null,
    submitted_at: presentInstant(task.createdAt),
    started_at: startedAt && presentInstant(startedAt),
    completed_at: task.finishedAt && presentInstant(task.finishedAt),
    subtasks: task.stages.map(({ name }) => name),
    stages: task.stages.map(presentStage),
  };
}

function presentState({ state, error, stages }: TaskView): ManagedTaskState {
  switch (state) {
    case 'pending':
      return 'PENDING';
    case 'processing':
      return stages.some(({ name, state }) => name === 'process' && state !== 'pending')
        ? 'STARTED'
        : 'RECEIVED';
    case 'completed':
      return 'SUCCESS';
    case 'failed':
      return error?.code === 'queue_timeout' ? 'TIMEOUT' : 'FAILURE';
    case 'canceled':
      return 'REVOKED';
  }
}

/** How far it came: what was skipped because the task had ended counts as far as it was done. */
function progressOf({ state, stages }: TaskView): number {
  if (state === 'completed') return 1;
  const reached = hasEnded(state)
    ? stages.map((stage) =>
        stage.state === 'success' ? stage : { ...stage, state: 'running' as const },
      )
    : stages;
  return overallProgress(reached) / 100;
}

function presentResult({ id, sources, outputs, removedAt }: TaskView, base: string): Result {
  const [main] = outputs;
  const isKept = removedAt === null || main?.deliveredTo !== undefined;
  const size = pictureOf(main?.input ?? main?.output ?? null);
  return {
    task_id: id,
    input_url: sources[0]?.url ?? null,
    output_url: main && isKept ? linkTo(base, main.url) : null,
    classification: size && classify(size),
  };
}

/** The service before us judged what a picture shows; we go by its shape. */
export function classify({ width, height }: { width: number; height: number }): Classification {
  const category =
    width >= height * squareUpTo
      ? 'landscape'
      : height >= width * squareUpTo
        ? 'portrait'
        : 'general';
  return { category, width, height, aspect_ratio: Math.round((width / height) * 100) / 100 };
}

const stageStates: Record<StageState, ManagedTaskState> = {
  pending: 'PENDING',
  running: 'STARTED',
  success: 'SUCCESS',
  failed: 'FAILURE',
  skipped: 'REVOKED',
};

function presentStage(stage: Stage): ManagedTaskBody['stages'][number] {
  const { name, state, progress, startedAt, finishedAt, detail } = stage;
  return {
    name,
    state: stageStates[state],
    progress: progress / 100,
    started_at: startedAt && presentInstant(startedAt),
    completed_at: finishedAt && presentInstant(finishedAt),
    detail,
  };
}

/** Without parts of a second, as the service wrote it: some clients parse it by this very pattern. */
export function presentInstant(at: Date): string {
  return at.toISOString().replace(/\.\d+Z$/, 'Z');
}
