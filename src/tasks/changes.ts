import type { Orm } from '../db/connect.ts';
import { and, eq, inArray, sql } from '../db/drizzle.ts';
import { taskStages, tasks } from '../db/schema.ts';

/** Parts of a task's moves from state to state that several of them have in common. */

const unowned = { owner: null, leaseUntil: null };
export const ended = { ...unowned, runAfter: null, finishedAt: sql`now()` };
const pending = { ...unowned, state: 'pending' as const, updatedAt: sql`now()` };
export const backInQueue = {
  ...pending,
  // Its sources are fetched anew, and may have changed.
  fingerprint: null,
  queueDeadline: sql`now() + ${tasks.queueTimeoutMs} * interval '1 ms'`,
};

/**
 * A follower is woken when its leader has ended; were that lost, it would be woken after this time. Its
 * deadline stays: it has not been served.
 */
export function behindLeader(wokenAfterMs: number) {
  return { ...pending, runAfter: sql`now() + ${wokenAfterMs} * interval '1 ms'` };
}

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
