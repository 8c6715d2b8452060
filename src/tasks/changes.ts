import { and, eq, inArray, sql } from 'drizzle-orm';
import type { Orm } from '../db/connect.ts';
import { taskStages, tasks } from '../db/schema.ts';

/** Parts of a task's moves from state to state that several of them have in common. */

const unowned = { owner: null, leaseUntil: null };
export const ended = { ...unowned, runAfter: null, finishedAt: sql`now()` };
export const backInQueue = {
  ...unowned,
  state: 'pending' as const,
  queueDeadline: sql`now() + ${tasks.queueTimeoutMs} * interval '1 ms'`,
  updatedAt: sql`now()`,
};

export async function resetStages(tx: Orm, taskId: string): Promise<void> {
  await tx
    .update(taskStages)
    .set({ state: 'pending', progress: 0, detail: null, startedAt: null, finishedAt: null })
    .where(eq(taskStages.taskId, taskId));
}

/** Stages that have not ended never will. */
export async function skipStages(
  tx: Orm,
  taskId: string,
  detail: string | null = null,
): Promise<void> {
  await tx
    .update(taskStages)
    .set({ state: 'skipped', detail, finishedAt: sql`now()` })
    .where(and(eq(taskStages.taskId, taskId), inArray(taskStages.state, ['pending', 'running'])));
}
