import { randomUUID } from 'node:crypto';
import { type PlannedRun, plan } from '../core/run.ts';
import { agePerPriorityMs } from '../core/schedule.ts';
import { isLink } from '../core/task.ts';
import { asJsonb } from '../db/columns.ts';
import { type SQL, sql } from '../db/drizzle.ts';
import { newSecret } from './new-secret.ts';

/** What a run takes over from the task that it is planned for. */
export interface Plannable extends PlannedRun {
  readonly id: string;
  readonly tenant: string;
  readonly priority: number;
  readonly queueTimeoutMs: number | null;
  readonly runTimeoutMs: number | null;
  /** From when it has waited; now where it is left out. */
  readonly createdAt?: Date;
}

/** A run's row before it is written. */
export interface NewRun {
  readonly id: string;
  readonly task_id: string;
  readonly secret: string;
  readonly is_unread: boolean;
}

/** A run for the task, in the form that `insertRuns` takes. */
export function newRun(task: Plannable): NewRun {
  const [{ workflowHash: workflow_hash, ...planned }] = plan(task);
  return {
    id: randomUUID(),
    task_id: task.id,
    secret: newSecret(),
    ...planned,
    ...{ workflow_hash, tenant: task.tenant, priority: task.priority },
    ...{ queue_timeout_ms: task.queueTimeoutMs, run_timeout_ms: task.runTimeoutMs },
    is_unread: planned.sources.some(isLink),
    ...{ arrived_at: task.createdAt ?? null },
  };
}

/** Writes runs, if at all, and returns their rows. */
export function insertRuns(runs: readonly NewRun[], returning: SQL, isWanted = sql`true`): SQL {
  return sql`
    insert into runs (
      id, task_ids, secret, kind, workflow, workflow_hash, sources, arguments, size, tenant, priority, rank,
      queue_timeout_ms, queue_deadline, run_timeout_ms, is_unread)
    select id, array[task_id], secret, kind, workflow, workflow_hash, sources, arguments, size, tenant, priority,
           coalesce(arrived_at, now()) - priority * ${sql.raw(String(agePerPriorityMs))} * interval '1 ms',
           queue_timeout_ms, now() + queue_timeout_ms * interval '1 ms', run_timeout_ms,
           is_unread
      from jsonb_to_recordset(${asJsonb(runs)}) as planned (
        id uuid, task_id uuid, secret text, kind text, workflow text, workflow_hash text, sources jsonb,
        arguments jsonb, size jsonb, tenant text, priority int, queue_timeout_ms bigint, run_timeout_ms bigint,
        arrived_at timestamptz, is_unread bool)
     where ${isWanted}
    returning ${returning}`;
}
