import { stageNames } from '../core/stage.ts';
import type { EventKind } from '../core/task-event.ts';
import { type SQL, sql } from '../db/drizzle.ts';
import { taskStages } from '../db/schema.ts';
import type { Parts } from '../db/statement.ts';

/** Steps of a move's statement that follow from `told`, the tasks as the move has left them. */

/** What becomes of the stages: they begin anew, never begin, or one has failed. */
export type StageChange = 'keep' | 'reset' | 'skip' | 'fail';

/** `detail`: why stages never come to their end. */
export function stagesOf(change: StageChange, detail: string | null): Parts {
  const told = sql.param(detail, taskStages.detail);
  switch (change) {
    case 'reset':
      return {
        stages: sql`
          update task_stages set
                 state = 'pending', progress = 0, detail = null, started_at = null, finished_at = null
            from told where task_stages.task_id = told.id`,
      };
    case 'skip':
      return {
        stages: sql`
          update task_stages set state = 'skipped', detail = ${told}, finished_at = now()
            from told
           where task_stages.task_id = told.id and task_stages.state in ('pending', 'running')`,
      };
    case 'fail':
      // The stage that failed says why; those after it never begin. A task that waits has failed by its source.
      return {
        stages: sql`
          update task_stages set
                 state = case when ${isAtFault} then 'failed' else 'skipped' end,
                 detail = case when ${isAtFault} then ${told} end,
                 finished_at = now()
            from told
           where task_stages.task_id = told.id and task_stages.state in ('pending', 'running')`,
      };
    default:
      return {};
  }
}

const isAtFault = sql`(task_stages.state = 'running'
  or told.before = 'pending' and task_stages.name = 'download')`;

/** The stages of new tasks. */
export const newStages: Parts = {
  stages: sql`insert into task_stages (task_id, name)
    select told.id, stage.name from told,
           (values ${sql.raw(stageNames.map((name) => `('${name}')`).join(', '))}) as stage (name)`,
};

/** The stages of tasks that join a run are those of its first task. */
export const sharedStages: Parts = {
  stages: sql`
    update task_stages set
           state = model.state, progress = model.progress, detail = model.detail,
           started_at = model.started_at, finished_at = model.finished_at
      from told, moved, task_stages as model
     where task_stages.task_id = told.id and model.task_id = moved.task_ids[1]
       and model.name = task_stages.name`,
};

/** Counters have so many rows each, so that connections seldom wait for each other. */
export const shard = sql.raw('pg_backend_pid() % 16');

/**
 * The rows of a statement are always taken in the order of their key, and its tables in the order of its parts, or
 * two connections could wait for each other.
 */
function count(changes: SQL): Parts {
  return {
    counted: sql`
      insert into task_counts as c (workflow, state, shard, count)
      select workflow, state, ${shard}, sum(change)
        from (${changes}) as changes (workflow, state, change)
       group by workflow, state having sum(change) <> 0 order by workflow, state
      on conflict (workflow, state, shard) do update set count = c.count + excluded.count`,
  };
}

export const countNew = count(sql`select workflow, state, 1 from told`);
/** `told.before` is the state in which the move found them. */
export const countMoved = count(sql`
  select workflow, before, -1 from told union all select workflow, state, 1 from told`);

/** What tenants hear of their own tasks that have ended. */
export const countEnded: Parts = {
  ended: sql`
    insert into ended_counts as c (tenant, workflow, state, shard, count)
    select tenant, workflow, state, ${shard}, count(*) from told where tenant <> ''
     group by tenant, workflow, state order by tenant, workflow, state
    on conflict (tenant, workflow, state, shard) do update set count = c.count + excluded.count`,
};

/** `used`: rows of what tenants had, whose columns are those of `usage` without day and shard. */
function tally(used: SQL): Parts {
  return {
    used: sql`
      select * from (${used}) as rows (
        tenant, workflow, submitted, completed, failed, canceled, gpu_ms, source_bytes, stored_bytes)`,
    tallied: sql`
      insert into usage as u (
        day, tenant, workflow, shard, submitted, completed, failed, canceled, gpu_ms, source_bytes, stored_bytes)
      select (now() at time zone 'UTC')::date, tenant, workflow, ${shard}, sum(submitted), sum(completed),
             sum(failed), sum(canceled), sum(gpu_ms), sum(source_bytes), sum(stored_bytes)
        from used group by tenant, workflow
      having sum(submitted + completed + failed + canceled + gpu_ms + source_bytes) > 0
       order by tenant, workflow
      on conflict (day, tenant, workflow, shard) do update set
         submitted = u.submitted + excluded.submitted, completed = u.completed + excluded.completed,
         failed = u.failed + excluded.failed, canceled = u.canceled + excluded.canceled,
         gpu_ms = u.gpu_ms + excluded.gpu_ms, source_bytes = u.source_bytes + excluded.source_bytes,
         stored_bytes = u.stored_bytes + excluded.stored_bytes`,
  };
}

/** `changes`: rows of a tenant, the bytes in the store and the charged time that it has more, or less. */
export function addToTotals(changes: SQL): SQL {
  return sql`
    insert into tenant_totals as t (tenant, shard, stored_bytes, charged_ms)
    select tenant, ${shard}, stored_bytes, charged_ms
      from (${changes}) as changes (tenant, stored_bytes, charged_ms) order by tenant
    on conflict (tenant, shard) do update set
       stored_bytes = t.stored_bytes + excluded.stored_bytes,
       charged_ms = t.charged_ms + excluded.charged_ms`;
}

/** What a tenant is forgiven, unless it was forgiven something since `seenMs` was all; milliseconds. */
export interface Forgiveness {
  readonly ms: number;
  readonly seenMs: number;
}

/** What tenants were forgiven stands in rows of its own, which two gateways cannot write without seeing each other. */
export const forgivenShard = -1;

/** Of the tenant whose run has moved; the charged time that it has more. */
export function forgive({ ms, seenMs }: Forgiveness): SQL {
  return sql`
    insert into tenant_totals as t (tenant, shard, stored_bytes, charged_ms)
    select moved.tenant, ${forgivenShard}, 0, ${ms}::int8 from moved
    on conflict (tenant, shard) do update set charged_ms = t.charged_ms + excluded.charged_ms
     where t.charged_ms = ${seenMs}`;
}

const totalOfUsed: Parts = {
  totaled: addToTotals(sql`
    select tenant, sum(stored_bytes), sum(gpu_ms) from used
     group by tenant having sum(stored_bytes + gpu_ms) > 0`),
};

export const tallyNew = tally(sql`select tenant, workflow, 1, 0, 0, 0, 0, 0, 0 from told`);

/**
 * The present attempts of the runs in `chosen`. They are read under a lock: a statement that has waited for a run
 * sees what was written down of its attempt meanwhile.
 */
export const triedOfChosen: Parts = {
  tried: sql`
    select attempts.run_id, attempts.used_ms, attempts.posted_at, attempts.source_bytes
      from chosen join attempts on attempts.run_id = chosen.id and attempts.number = chosen.attempt
       for update of attempts`,
};

/**
 * For `moved`, which hands on what `tallyEnded` takes of them. It reads them before any other part may change them,
 * as Postgres passes over a row that the same statement has changed.
 */
export const chosenWithTried = sql`chosen left join tried on tried.run_id = chosen.id`;
export const hadOfGpus = sql`
  chosen.held_until, tried.used_ms, tried.posted_at, tried.source_bytes`;

/**
 * What has ended: the tasks, and the attempt of their run, which had a GPU once for all of them. A GPU that nobody
 * has taken the time of was theirs until now, or as long as a gateway saw to it. `gpuMs`: that time, where it is not
 * written down yet.
 */
export function tallyEnded(gpuMs: number | null): Parts {
  const sinceMs = sql`
    extract(epoch from least(now(), moved.held_until) - moved.posted_at) * 1000`;
  const used = sql`
    select tenant, workflow, 0, (state = 'completed')::int, (state = 'failed')::int, (state = 'canceled')::int,
           0, 0, coalesce(stored_bytes, 0)
      from told
    union all
    select tenant, workflow, 0, 0, 0, 0,
           coalesce(round(${gpuMs}::numeric), used_ms, greatest(0, round(${sinceMs})), 0)::int8,
           coalesce(source_bytes, 0), 0
      from moved where found = 'processing' and state <> 'processing'`;
  return { ...tally(used), ...totalOfUsed };
}

export function writeEvents(kind: EventKind, gateway: string, body: SQL): Parts {
  return {
    happened: sql`
      insert into task_events (task_id, number, kind, gateway, body)
      select told.id, told.events, ${kind}, ${gateway}::uuid, ${body} from told`,
  };
}
