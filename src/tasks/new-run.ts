import { type PlannedRun, plan } from '../core/run.ts';
import { agePerPriorityMs } from '../core/schedule.ts';
import { type PgInsertValue, type SQL, sql } from '../db/drizzle.ts';
import type { runs } from '../db/schema.ts';

/** What a run takes over from the task that it is planned for. */
export interface Plannable extends PlannedRun {
  readonly id: string;
  readonly tenant: string;
  readonly priority: number;
  readonly queueTimeoutMs: number | null;
  readonly runTimeoutMs: number | null;
}

/** A row for the queue. `arrivedAt`: from when its task has waited. */
export function newRun(id: string, task: Plannable, arrivedAt: SQL): PgInsertValue<typeof runs> {
  const [planned] = plan(task);
  const { priority, tenant, queueTimeoutMs, runTimeoutMs } = task;
  return {
    ...planned,
    id,
    taskIds: [task.id],
    tenant,
    priority,
    rank: sql`${arrivedAt} - ${priority * agePerPriorityMs} * interval '1 ms'`,
    queueTimeoutMs,
    queueDeadline: queueTimeoutMs ? sql`now() + ${queueTimeoutMs} * interval '1 ms'` : null,
    runTimeoutMs,
  };
}
