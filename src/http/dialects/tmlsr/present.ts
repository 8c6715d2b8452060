import type { z } from '@hono/zod-openapi';
import type { Stage } from '../../../core/stage.ts';
import type { TaskView } from '../../../tasks/task-service.ts';
import { presentTaskId } from './parse.ts';
import type { task as taskSchema } from './schema.ts';

type TaskBody = z.infer<typeof taskSchema>;

export function presentTask(task: TaskView, now: Date): TaskBody {
  return {
    task_id: presentTaskId(task.id),
    status: task.state,
    created_at: task.createdAt.toISOString(),
    updated_at: task.updatedAt.toISOString(),
    params: task.params,
    workflow: task.workflow,
    stages: task.stages.map((stage) => presentStage(stage, now)),
    output: task.output && presentOutput(task.output),
    error: task.error?.message ?? null,
    error_code: task.error?.code ?? null,
    retries: Math.max(0, task.attempt - 1),
  };
}

function presentStage(stage: Stage, now: Date): TaskBody['stages'][number] {
  const { name, state, progress, detail, startedAt, finishedAt } = stage;
  // The database's clock began it and ours, which may be off a little, tells the time so far.
  const elapsedMs = startedAt && Math.max(0, (finishedAt ?? now).getTime() - startedAt.getTime());
  const duration = elapsedMs === null ? null : Math.round(elapsedMs / 10) / 100;
  return { name, status: state, progress, duration, detail };
}

function presentOutput(output: NonNullable<TaskView['output']>): TaskBody['output'] {
  const { url, size, sha256, contentType, input, output: made } = output;
  return {
    url,
    size_mb: Math.round((size / 1024 ** 2) * 100) / 100,
    metadata: {
      ...made,
      content_type: contentType,
      size_bytes: size,
      sha256,
      input: { ...input },
    },
  };
}
