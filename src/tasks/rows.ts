import type { Attempt } from '../core/attempt.ts';
import type { Run } from '../core/run.ts';
import type { Stage } from '../core/stage.ts';
import { stageNames } from '../core/stage.ts';
import type { Task } from '../core/task.ts';
import { getTableColumns, type InferSelectModel } from '../db/drizzle.ts';
import { type attempts, runs, type taskStages, tasks } from '../db/schema.ts';
import { jsonReader, textOf } from '../db/statement.ts';

export type TaskRow = InferSelectModel<typeof tasks>;
export type RunRow = InferSelectModel<typeof runs>;
type StageRow = InferSelectModel<typeof taskStages>;
export type AttemptRow = InferSelectModel<typeof attempts>;

/** A task as a move has left it. Its outputs, which may be many, are not read for that. */
export type MovedTask = Omit<TaskRow, 'outputs'>;

const { outputs: _, ...movedColumns } = getTableColumns(tasks);
export const movedTaskText = textOf(tasks, Object.keys(movedColumns), 'tasks');
export const runText = textOf(runs, Object.keys(getTableColumns(runs)), 'runs');

export const readTask: (json: Readonly<Record<string, unknown>>) => MovedTask = jsonReader(tasks);
export const readRun: (json: Readonly<Record<string, unknown>>) => RunRow = jsonReader(runs);

export function toTask(row: MovedTask): Omit<Task, 'outputs'> {
  return {
    id: row.id,
    dialect: row.dialect,
    kind: row.kind,
    sources: row.sources,
    workflow: row.workflow,
    workflowHash: row.workflowHash,
    arguments: row.arguments,
    size: row.size,
    delivery: row.delivery,
    params: row.params,
    priority: row.priority,
    tenant: row.tenant,
    runTimeoutMs: row.runTimeoutMs,
    runId: row.runId,
    state: row.state,
    error: row.error,
    createdAt: row.createdAt,
    updatedAt: row.updatedAt,
    startedAt: row.startedAt,
    finishedAt: row.finishedAt,
    keepUntil: row.keepUntil,
    collectedAt: row.collectedAt,
    removedAt: row.removedAt,
  };
}

export function toRun(row: RunRow): Run {
  return {
    id: row.id,
    taskIds: row.taskIds,
    kind: row.kind,
    workflow: row.workflow,
    workflowHash: row.workflowHash,
    sources: row.sources,
    arguments: row.arguments,
    size: row.size,
    secret: row.secret,
    tenant: row.tenant,
    priority: row.priority,
    runTimeoutMs: row.runTimeoutMs,
    state: row.state,
    attempt: row.attempt,
    retries: row.retries,
    isUnread: row.isUnread,
    fingerprint: row.fingerprint,
    warnings: row.warnings ?? [],
  };
}

/** In the order in which a task goes through them. */
export function toStages(rows: readonly StageRow[]): Stage[] {
  return stageNames.flatMap((name) => {
    const row = rows.find((candidate) => candidate.name === name);
    if (!row) return [];
    const { taskId: _, ...stage } = row;
    return [stage];
  });
}

export function toAttempt(row: AttemptRow): Attempt {
  const { id, number, backend, promptId, postedAt, input } = row;
  return { id, number, backend, promptId, postedAt, input };
}
