import type { Attempt } from '../core/attempt.ts';
import type { Stage } from '../core/stage.ts';
import { stageNames } from '../core/stage.ts';
import type { Task } from '../core/task.ts';
import type { InferSelectModel } from '../db/drizzle.ts';
import type { attempts, taskStages, tasks } from '../db/schema.ts';

export type TaskRow = InferSelectModel<typeof tasks>;
type StageRow = InferSelectModel<typeof taskStages>;
export type AttemptRow = InferSelectModel<typeof attempts>;

export function toTask(row: TaskRow): Task {
  const {
    seq: _,
    owner: __,
    leaseUntil: ___,
    rank: ____,
    avoid: _____,
    queueTimeoutMs: ______,
    storedBytes: _______,
    fingerprint: ________,
    ...task
  } = row;
  return task;
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
  const { id, taskId, number, backend, promptId, postedAt, input } = row;
  return { id, taskId, number, backend, promptId, postedAt, input };
}
