import { asJsonb } from '../db/columns.ts';
import type { Orm } from '../db/connect.ts';
import { and, eq, inArray, ne, or, type SQL, sql } from '../db/drizzle.ts';
import { runs, tasks } from '../db/schema.ts';
import { assignments } from '../db/statement.ts';
import type { Door, Moved } from './door.ts';
import {
  chosenWithTried,
  countMoved,
  hadOfGpus,
  sharedStages,
  stagesOf,
  tallyEnded,
  triedOfChosen,
  writeEvents,
} from './move-steps.ts';
import { moves, type RunChange } from './moves.ts';
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
    // One that was canceled before is on the list no more.
    which: sql`${taskId}::uuid = any(runs.task_ids) and runs.id in (
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
  const leads = and(
    eq(runs.fingerprint, fingerprint),
    inArray(runs.state, ['pending', 'processing']),
    ne(runs.id, runId),
  );
  const found = await door.orm.select({ id: runs.id }).from(runs).where(leads);
  if (found.length === 0) return [];
  const joined = await door.orm.transaction(async (tx) => {
    // A statement that begins when they are locked sees them, their tasks and stages as they are.
    const locked = await tx
      .select({ id: runs.id })
      .from(runs)
      .where(or(eq(runs.id, runId), leads))
      .orderBy(runs.id)
      .for('update');
    const leader = locked.find(({ id }) => id !== runId);
    return leader ? await joinLocked(tx, door, { runId, fence, leaderId: leader.id }) : [];
  });
  door.announce('joined', joined);
  return joined;
}

async function joinLocked(
  tx: Orm,
  door: Door,
  { runId, fence, leaderId }: { runId: string; fence: SQL; leaderId: string },
): Promise<readonly Moved[]> {
  // One of the two would wait for ever.
  const isPatient = sql`when runs.queue_timeout_ms is null or gone.queue_timeout_ms is null`;
  return await door.run(tx, {
    gone: sql`
      delete from runs where runs.id = ${runId}::uuid and ${fence}
      returning runs.task_ids, runs.rank, runs.priority, runs.queue_timeout_ms`,
    // It is as urgent as the most urgent of its tasks, and waits as long as the most patient.
    moved: sql`
      update runs set task_ids = runs.task_ids || gone.task_ids, rank = least(runs.rank, gone.rank),
                      priority = greatest(runs.priority, gone.priority),
                      queue_timeout_ms = case ${isPatient} then null
                        else greatest(runs.queue_timeout_ms, gone.queue_timeout_ms) end,
                      queue_deadline = case ${isPatient} then null
                        else greatest(
                          runs.queue_deadline, now() + gone.queue_timeout_ms * interval '1 ms') end
        from gone where runs.id = ${leaderId}::uuid
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
}

/** Which of a run's tasks leave it. */
export type Leaving =
  | { readonly taskIds: readonly string[] }
  /** All others: what the run makes is what they asked for no more, and nobody is to join it. */
  | { readonly butOnly: string };

/**
 * Gives tasks that share a run runs of their own, and returns those. Nothing happens where `fence` does not
 * hold. A run that nobody is left to wait for has ended.
 */
export async function separateTasks(
  door: Door,
  runId: string,
  fence: SQL,
  leaving: Leaving,
): Promise<readonly Moved[]> {
  const leaves = (id: string) =>
    'butOnly' in leaving ? id !== leaving.butOnly : leaving.taskIds.includes(id);
  const separated = await door.orm.transaction(async (tx) => {
    // From here on none joins, and none is canceled.
    const [held] = await tx.select({ taskIds: runs.taskIds }).from(runs).where(fence).for('update');
    if (!held) return [];
    const left = held.taskIds.filter((id) => !leaves(id));
    const change: RunChange = {
      taskIds: left,
      ...('butOnly' in leaving ? { fingerprint: null } : {}),
      ...(left.length === 0 ? { ...moves.canceled.run, state: 'canceled' } : {}),
    };
    await door.run(tx, {
      chosen: sql`
        select id, attempt, lease_until as held_until from runs where id = ${runId}::uuid`,
      ...triedOfChosen,
      moved: sql`
        update runs set ${assignments(runs, change)}
          from ${chosenWithTried} where runs.id = chosen.id
        returning ${runText.qualified}, 'processing' as found, ${hadOfGpus}`,
      told: sql`select ${movedTaskText.qualified} from tasks where false`,
      ...tallyEnded(null),
    });
    const found = await tx
      .select()
      .from(tasks)
      .where(inArray(tasks.id, held.taskIds.filter(leaves)));
    if (found.length === 0) return [];
    return await door.run(tx, {
      moved: insertRuns(found.map(newRun), runText.qualified),
      told: sql`
        update tasks set run_id = moved.id, state = 'pending', events = tasks.events + 1, updated_at = now()
          from moved where tasks.id = moved.task_ids[1]
        returning ${movedTaskText.qualified}, 'processing' as before`,
      ...stagesOf(moves.separated.stages, null),
      ...countMoved,
      ...writeEvents('separated', door.gateway, asJsonb({})),
    });
  });
  door.announce('separated', separated);
  return separated;
}
