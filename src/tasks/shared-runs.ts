import { asJsonb } from '../db/columns.ts';
import { and, eq, inArray, type SQL, sql } from '../db/drizzle.ts';
import { runs, tasks } from '../db/schema.ts';
import type { Door, Moved } from './door.ts';
import { countMoved, sharedStages, stagesOf, writeEvents } from './move-steps.ts';
import { moves } from './moves.ts';
import { insertRuns, newRun } from './new-run.ts';
import { movedTaskText, runText } from './rows.ts';

/**
 * Ends a task for its client. Its run goes on for the other tasks that wait for it, from their sources, and
 * ends where there are none. Nothing is returned where the task is not `which`, or has ended.
 */
export async function cancelTask(
  door: Door,
  taskId: string,
  which: SQL | undefined,
): Promise<Moved | null> {
  const isAlone = sql`runs.task_ids = array[${taskId}::uuid]`;
  const others = sql`array_remove(runs.task_ids, ${taskId}::uuid)`;
  const whenAlone = (alone: SQL, otherwise: SQL) =>
    sql`case when ${isAlone} then ${alone} else ${otherwise} end`;
  const [canceled] = await door.carryOut('canceled', {
    which: sql`runs.id in (
      select tasks.run_id from tasks where tasks.id = ${taskId}::uuid and ${which ?? sql`true`})`,
    taskIds: [taskId],
    detail: 'Canceled',
    run: {
      state: whenAlone(sql`'canceled'`, sql`runs.state`),
      owner: whenAlone(sql`null`, sql`runs.owner`),
      leaseUntil: whenAlone(sql`null`, sql`runs.lease_until`),
      runAfter: whenAlone(sql`null`, sql`runs.run_after`),
      taskIds: whenAlone(sql`runs.task_ids`, others),
      sources: whenAlone(
        sql`runs.sources`,
        sql`(select heir.sources from tasks as heir where heir.id = (${others})[1])`,
      ),
    },
  });
  return canceled ?? null;
}

/**
 * Lets the tasks of a run wait for an open run that makes the same; their own is gone, with its attempt.
 * Returns nothing where there is none, or `fence` does not hold.
 */
export async function joinRun(
  door: Door,
  runId: string,
  fence: SQL,
  fingerprint: string,
): Promise<readonly Moved[]> {
  const isMine = sql`runs.id = ${runId}::uuid`;
  // One of the two would wait for ever.
  const isPatient = sql`when runs.queue_timeout_ms is null or gone.queue_timeout_ms is null`;
  const joined = await door.run(door.orm, {
    // Both in the order of their ids, as every move locks several.
    chosen: sql`
      select id, task_ids, ${isMine} as is_mine, ${fence} as is_held from runs
       where ${isMine}
          or fingerprint = ${fingerprint} and state in ('pending', 'processing')
       order by id for update`,
    gone: sql`
      delete from runs using chosen, chosen as leader
       where runs.id = chosen.id and chosen.is_held and not leader.is_mine
      returning runs.task_ids, runs.rank, runs.priority, runs.queue_timeout_ms, leader.id as leader_id`,
    // It is as urgent as the most urgent of its tasks, and waits as long as the most patient.
    moved: sql`
      update runs set task_ids = runs.task_ids || gone.task_ids, rank = least(runs.rank, gone.rank),
                      priority = greatest(runs.priority, gone.priority),
                      queue_timeout_ms = case ${isPatient} then null
                        else greatest(runs.queue_timeout_ms, gone.queue_timeout_ms) end,
                      queue_deadline = case ${isPatient} then null
                        else greatest(
                          runs.queue_deadline, now() + gone.queue_timeout_ms * interval '1 ms') end
        from gone where runs.id = gone.leader_id
      returning ${runText.qualified}`,
    // As `taskState` has it of one run.
    told: sql`
      update tasks set run_id = moved.id, state = moved.state, events = tasks.events + 1, updated_at = now(),
                       error = (select error from tasks as model where model.id = moved.task_ids[1])
        from moved, gone where tasks.id = any(gone.task_ids)
      returning ${movedTaskText.qualified}, 'processing' as before`,
    ...sharedStages,
    ...countMoved,
    ...writeEvents('joined', door.gateway, asJsonb({})),
  });
  door.told('joined', joined);
  return joined;
}

/**
 * Gives tasks that share a run runs of their own, and returns those. Nothing happens where `fence` does not
 * hold.
 */
export async function separateTasks(
  door: Door,
  runId: string,
  fence: SQL,
  taskIds: readonly string[],
): Promise<readonly Moved[]> {
  const found = await door.orm
    .select()
    .from(tasks)
    .where(and(eq(tasks.runId, runId), inArray(tasks.id, [...taskIds])));
  if (found.length === 0) return [];
  const ids = sql`${sql.param([...taskIds], runs.taskIds)}::uuid[]`;
  const left = sql`array(
    select left_id from unnest(runs.task_ids) with ordinality as left_tasks (left_id, place)
     where left_id <> all(${ids}) order by place)`;
  const separated = await door.orm.transaction(async (tx) => {
    const held = await tx
      .update(runs)
      .set({ taskIds: left })
      .where(fence)
      .returning({ state: runs.state });
    if (held.length === 0) return [];
    return await door.run(tx, {
      moved: insertRuns(found.map(newRun), runText.qualified),
      told: sql`
        update tasks set run_id = moved.id, state = 'pending', events = tasks.events + 1, updated_at = now()
          from moved where tasks.id = moved.task_ids[1] and tasks.run_id = ${runId}::uuid
        returning ${movedTaskText.qualified}, 'processing' as before`,
      ...stagesOf(moves.separated.stages, null),
      ...countMoved,
      ...writeEvents('separated', door.gateway, asJsonb({})),
    });
  });
  door.told('separated', separated);
  return separated;
}
