import type { Ahead } from '../core/queue-place.ts';
import { type Task, type TaskState, taskStates } from '../core/task.ts';
import { realTempo, type Tempo } from '../core/tempo.ts';
import type { Orm } from '../db/connect.ts';
import { gt, sql } from '../db/drizzle.ts';
import { rowsOf } from '../db/rows.ts';
import { taskCounts } from '../db/schema.ts';
import { Held } from './held.ts';
import { isOfLine, isReady, linesPart, retriedAtOnce } from './lines.ts';
import { isPaused } from './pause-store.ts';

/** Tasks by state, of one workflow. */
export type StateCounts = Readonly<Record<TaskState, number>>;

/** So many runs of its own tenant are counted before a task, and about as many of all others together. */
export const countedAtMost = 1_000;

/** So many tasks of a tenant that have not ended are counted. */
const openAtMost = 10_000;

/** About so many runs are counted, of all lines, while something is paused. */
const unpausedAtMost = 10_000;

/** So many runs tell how long a workflow takes. */
const learnedFrom = 20;

/** What the queue holds and how long it may take, at a cost that does not grow with it. */
export class QueueStats {
  readonly #orm: Orm;
  readonly #countsHoldMs: number;
  readonly #counts: Held<ReadonlyMap<string, StateCounts>>;
  /** By tenant, each of which has a key. */
  readonly #countsOf = new Map<string, Held<ReadonlyMap<string, StateCounts>>>();
  readonly #durations: Held<Map<string, number>>;
  readonly #waitingSince: Held<Map<string, Date>>;

  constructor(
    orm: Orm,
    tempo: Pick<Tempo['tasks'], 'countsHoldMs' | 'durationsHoldMs'> = realTempo.tasks,
  ) {
    this.#orm = orm;
    this.#countsHoldMs = tempo.countsHoldMs;
    this.#counts = new Held(tempo.countsHoldMs, () => this.#readCounts());
    this.#durations = new Held(tempo.durationsHoldMs, () => this.#readDurations());
    this.#waitingSince = new Held(tempo.countsHoldMs, () => this.#readWaitingSince());
  }

  /** By workflow, of all that ever had a task: its file may be gone. */
  async counts(): Promise<ReadonlyMap<string, StateCounts>> {
    return await this.#counts.get();
  }

  /**
   * The same, of a tenant's own tasks. Of those that have not ended the oldest are counted, 10,000 at most; where it
   * has more, the counts of those stand for anything from there on.
   */
  async countsOf(tenant: string): Promise<ReadonlyMap<string, StateCounts>> {
    const held =
      this.#countsOf.get(tenant) ?? new Held(this.#countsHoldMs, () => this.#readCountsOf(tenant));
    this.#countsOf.set(tenant, held);
    return await held.get();
  }

  /** Median time on the GPU of a workflow's last runs, milliseconds. */
  async durations(): Promise<ReadonlyMap<string, number>> {
    return await this.#durations.get();
  }

  /**
   * Since when the oldest task of each workflow waits that has one. Priorities count as ages do: of a line it is
   * the task that goes first.
   */
  async waitingSince(): Promise<ReadonlyMap<string, Date>> {
    return await this.#waitingSince.get();
  }

  /** By workflow, how many runs wait that no pause holds: of each line as many as of any other, 10,000 or so in all. */
  async unpaused(): Promise<ReadonlyMap<string, number>> {
    const isFree = sql`not ${isPaused(sql`workflow`, sql`tenant`)}`;
    const result = await this.#orm.execute(sql`
      with recursive ${linesPart},
      free as materialized (select * from lines where ${isFree}),
      limits as (select greatest(1, ${unpausedAtMost} / greatest(1, (select count(*) from free))) as of_line)
      select workflow, sum(count)::float8 as count from (
        select lines.workflow, counted.count from free as lines
         cross join lateral (
           select count(*) from (
             select from runs where ${isOfLine} limit (select of_line from limits)) as waiting) as counted
        union all
        (select workflow, 1 from runs where ${isReady} and avoid is not null and ${isFree} limit ${unpausedAtMost})
        union all
        (select workflow, 1 from runs
          where state = 'pending' and run_after is not null and ${isFree} limit ${unpausedAtMost})) as waiting
       group by workflow`);
    return new Map(rowsOf<UnpausedRow>(result).map(({ workflow, count }) => [workflow, count]));
  }

  /**
   * What came before a waiting task, by tenant and workflow. Of the lines of other tenants each is counted as far as
   * any other; where its own are as many as are ever counted, none.
   */
  async ahead({ runId }: Pick<Task, 'runId'>): Promise<Ahead[]> {
    const isBefore = sql`${isOfLine} and (rank, seq) < (mine.rank, mine.seq)`;
    const result = await this.#orm.execute(sql`
      with recursive mine as (select tenant, priority, rank, seq from runs where id = ${runId}), ${linesPart},
      own as materialized (
        select lines.workflow from lines join mine on mine.tenant = lines.tenant
         cross join lateral (
           select from runs where ${isBefore} order by rank, seq limit ${countedAtMost}) as before
         limit ${countedAtMost}),
      limits as (
        select case when (select count(*) from own) < ${countedAtMost}
                    then greatest(1, ${countedAtMost} / (select count(*) from lines)) else 0 end as of_line)
      select mine.tenant, own.workflow, true as "isPeer", count(*)::int as count from own cross join mine
       group by mine.tenant, own.workflow
      union all
      select lines.tenant, lines.workflow, before.priority = mine.priority, count(*)::int
        from lines join mine on mine.tenant <> lines.tenant
       cross join lateral (
         select priority from runs where ${isBefore}
          order by rank, seq limit (select of_line from limits)) as before
       group by lines.tenant, lines.workflow, before.priority = mine.priority`);
    return rowsOf<Ahead>(result);
  }

  async #readCounts(): Promise<ReadonlyMap<string, StateCounts>> {
    const rows = await this.#orm
      .select({
        workflow: taskCounts.workflow,
        state: taskCounts.state,
        count: sql<number>`sum(${taskCounts.count})::float8`,
      })
      .from(taskCounts)
      .groupBy(taskCounts.workflow, taskCounts.state)
      .having(gt(sql`sum(${taskCounts.count})`, 0));
    return byWorkflow(rows);
  }

  async #readCountsOf(tenant: string): Promise<ReadonlyMap<string, StateCounts>> {
    const result = await this.#orm.execute(sql`
      select workflow, state, sum(count)::float8 as count from (
        select workflow, state, count from ended_counts where tenant = ${tenant}
        union all
        (select workflow, state, 1 from tasks
          where tenant = ${tenant} and finished_at is null
          order by created_at limit ${openAtMost})) as counted
       group by workflow, state having sum(count) > 0`);
    return byWorkflow(rowsOf<CountRow>(result));
  }

  async #readWaitingSince(): Promise<Map<string, Date>> {
    const result = await this.#orm.execute(sql`
      with recursive ${linesPart}
      select workflow, (extract(epoch from min(created_at)) * 1000)::float8 as ms from (
        select lines.workflow, first.created_at from lines
         cross join lateral (
           select created_at from runs where ${isOfLine} order by rank, seq limit 1) as first
        union all
        (select workflow, created_at from runs
          where ${isReady} and avoid is not null
          order by rank, seq limit ${retriedAtOnce})) as firsts
       group by workflow`);
    const rows = rowsOf<{ workflow: string; ms: number }>(result);
    return new Map(rows.map(({ workflow, ms }) => [workflow, new Date(ms)]));
  }

  async #readDurations(): Promise<Map<string, number>> {
    const result = await this.#orm.execute(sql`
      select named.workflow, median.ms
        from (select distinct workflow from task_counts) as named
       cross join lateral (
         select percentile_cont(0.5) within group (order by run.gpu_ms) as ms
           from (select gpu_ms from attempts
                  where workflow = named.workflow and gpu_ms is not null
                  order by started_at desc limit ${learnedFrom}) as run) as median
       where median.ms is not null`);
    const rows = rowsOf<{ workflow: string; ms: number }>(result);
    return new Map(rows.map(({ workflow, ms }) => [workflow, ms]));
  }
}

/** All workflows together. */
export function totals(counts: ReadonlyMap<string, StateCounts>): StateCounts {
  const sum = noTasks();
  for (const each of counts.values()) for (const state of taskStates) sum[state] += each[state];
  return sum;
}

interface UnpausedRow {
  readonly workflow: string;
  readonly count: number;
}

interface CountRow {
  readonly workflow: string;
  readonly state: TaskState;
  readonly count: number;
}

function byWorkflow(rows: readonly CountRow[]): ReadonlyMap<string, StateCounts> {
  const counts = new Map<string, Record<TaskState, number>>();
  for (const { workflow, state, count } of rows) {
    const ofWorkflow = counts.get(workflow) ?? noTasks();
    ofWorkflow[state] = count;
    counts.set(workflow, ofWorkflow);
  }
  return counts;
}

function noTasks(): Record<TaskState, number> {
  return { pending: 0, processing: 0, completed: 0, failed: 0, canceled: 0 };
}
