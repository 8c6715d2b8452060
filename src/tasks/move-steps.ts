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

/**
 * The rows of a statement are always taken in the order of their key, or two connections could wait for each
 * other.
 */
function count(changes: SQL): Parts {
  return {
    counted: sql`
      insert into task_counts as c (workflow, state, shard, count)
      select workflow, state, pg_backend_pid() % 16, sum(change)
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
  tallied: sql`
    insert into ended_counts as c (tenant, workflow, state, shard, count)
    select tenant, workflow, state, pg_backend_pid() % 16, count(*) from told where tenant <> ''
     group by tenant, workflow, state order by tenant, workflow, state
    on conflict (tenant, workflow, state, shard) do update set count = c.count + excluded.count`,
};

export function writeEvents(kind: EventKind, gateway: string, body: SQL): Parts {
  return {
    happened: sql`
      insert into task_events (task_id, number, kind, gateway, body)
      select told.id, told.events, ${kind}, ${gateway}::uuid, ${body} from told`,
  };
}
