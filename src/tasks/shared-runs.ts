import { randomUUID } from 'node:crypto';
import { asJsonb } from '../db/columns.ts';
import {
  and,
  eq,
  getTableColumns,
  inArray,
  or,
  type SQL,
  type SQLWrapper,
  sql,
} from '../db/drizzle.ts';
import { runs, tasks } from '../db/schema.ts';
import type { Door, Moved } from './door.ts';
import { countMoved, sharedStages, stagesOf, writeEvents } from './move-steps.ts';
import { moves } from './moves.ts';
import { newRun } from './new-run.ts';
import { movedTaskColumns } from './rows.ts';

/**
 * Ends a task for its client. Its run goes on for the other tasks that wait for it, from their sources, and
 * ends where there are none. Nothing is returned where the task is not `which`, or has ended.
 */
export async function cancelTask(
  door: Door,
  taskId: string,
  which: SQL | undefined,
): Promise<Moved | null> {
  const isAlone = sql`${runs.taskIds} = array[${taskId}::uuid]`;
  const others = sql`array_remove(${runs.taskIds}, ${taskId}::uuid)`;
  const unlessAlone = (column: SQLWrapper, alone: SQL) =>
    sql`case when ${isAlone} then ${alone} else ${column} end`;
  const found = door.orm
    .select({ id: tasks.runId })
    .from(tasks)
    .where(and(eq(tasks.id, taskId), which));
  const [canceled] = await door.carryOut('canceled', {
    which: inArray(runs.id, found),
    taskIds: [taskId],
    detail: 'Canceled',
    run: {
      state: unlessAlone(runs.state, sql`'canceled'`),
      owner: unlessAlone(runs.owner, sql`null`),
      leaseUntil: unlessAlone(runs.leaseUntil, sql`null`),
      runAfter: unlessAlone(runs.runAfter, sql`null`),
      taskIds: unlessAlone(others, sql`${runs.taskIds}`),
      sources: unlessAlone(
        sql`(select heir.sources from tasks as heir where heir.id = (${others})[1])`,
        sql`${runs.sources}`,
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
  fence: SQL | undefined,
  fingerprint: string,
): Promise<readonly Moved[]> {
  const { orm } = door;
  const isMine = eq(runs.id, runId);
  const makesTheSame = and(
    eq(runs.fingerprint, fingerprint),
    inArray(runs.state, ['pending', 'processing']),
  );
  const chosen = orm.$with('chosen').as(
    orm
      .select({
        id: runs.id,
        taskIds: runs.taskIds,
        rank: runs.rank,
        priority: runs.priority,
        isMine: sql<boolean>`${isMine}`.as('is_mine'),
        isHeld: sql<boolean>`coalesce(${and(isMine, fence)}, false)`.as('is_held'),
      })
      .from(runs)
      .where(or(isMine, makesTheSame))
      .orderBy(runs.id)
      .for('update'),
  );
  const gone = orm.$with('gone', {}).as(sql`
    delete from runs using chosen, chosen as leader
     where runs.id = chosen.id and chosen.is_held and not leader.is_mine
    returning runs.task_ids, runs.rank, runs.priority, leader.id as leader_id`);
  const moved = orm.$with('moved').as(
    orm
      .update(runs)
      .set({
        taskIds: sql`${runs.taskIds} || gone.task_ids`,
        // It is as urgent as the most urgent of its tasks.
        rank: sql`least(${runs.rank}, gone.rank)`,
        priority: sql`greatest(${runs.priority}, gone.priority)`,
      })
      .from(sql`gone`)
      .where(sql`${runs.id} = gone.leader_id`)
      .returning(getTableColumns(runs)),
  );
  const first = sql`(select error from tasks as model where model.id = moved.task_ids[1])`;
  const told = orm.$with('told').as(
    orm
      .update(tasks)
      .set({
        runId: sql`moved.id`,
        // As `taskState` has it of one run.
        state: sql`moved.state`,
        error: first,
        events: sql`${tasks.events} + 1`,
        updatedAt: sql`now()`,
      })
      .from(moved)
      .where(sql`${tasks.id} = any((select task_ids from gone)::uuid[])`)
      .returning({ ...movedTaskColumns, before: sql`'processing'`.as('before') }),
  );
  const steps = {
    ...sharedStages,
    ...countMoved,
    ...writeEvents('joined', door.gateway, asJsonb({})),
  };
  const rows = await orm
    .with(chosen, gone, moved, told, ...door.parts(steps))
    .select({ run: moved._.selectedFields, task: told._.selectedFields })
    .from(moved)
    .innerJoin(told, sql`told.run_id = moved.id`);
  const joined = rows as unknown as readonly Moved[];
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
  fence: SQL | undefined,
  taskIds: readonly string[],
): Promise<readonly Moved[]> {
  const { orm } = door;
  const found = await orm
    .select()
    .from(tasks)
    .where(and(eq(tasks.runId, runId), inArray(tasks.id, [...taskIds])));
  if (found.length === 0) return [];
  const fresh = found.map((task) => {
    const { createdAt } = task;
    return newRun(randomUUID(), task, sql`${createdAt.toISOString()}::timestamptz`);
  });
  const left = sql`array(
    select left_id from unnest(${runs.taskIds}) with ordinality as left_tasks (left_id, place)
     where left_id <> all(${sql.param([...taskIds], runs.taskIds)}::uuid[]) order by place)`;
  const separated = await orm.transaction(async (tx) => {
    const held = await tx
      .update(runs)
      .set({ taskIds: left })
      .where(and(eq(runs.id, runId), fence))
      .returning({ state: runs.state });
    if (held.length === 0) return [];
    const moved = tx.$with('moved').as(tx.insert(runs).values(fresh).returning());
    const told = tx.$with('told').as(
      tx
        .update(tasks)
        .set({
          runId: sql`moved.id`,
          state: 'pending',
          events: sql`${tasks.events} + 1`,
          updatedAt: sql`now()`,
        })
        .from(moved)
        .where(sql`${tasks.id} = moved.task_ids[1] and ${tasks.runId} = ${runId}`)
        .returning({ ...movedTaskColumns, before: sql`'processing'`.as('before') }),
    );
    const steps = {
      ...stagesOf(moves.separated.stages, null),
      ...countMoved,
      ...writeEvents('separated', door.gateway, asJsonb({})),
    };
    const rows = await tx
      .with(moved, told, ...door.parts(steps))
      .select({ run: moved._.selectedFields, task: told._.selectedFields })
      .from(moved)
      .innerJoin(told, sql`told.run_id = moved.id`);
    return rows as unknown as readonly Moved[];
  });
  door.told('separated', separated);
  return separated;
}
