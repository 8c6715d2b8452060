import { randomUUID } from 'node:crypto';
import type { Claim } from '../core/attempt.ts';
import type { QueuedTask, Share } from '../core/schedule.ts';
import type { Task, TaskError } from '../core/task.ts';
import type { Orm } from '../db/connect.ts';
import {
  and,
  count,
  eq,
  getTableColumns,
  inArray,
  isNotNull,
  isNull,
  ne,
  notInArray,
  type SQL,
  sql,
} from '../db/drizzle.ts';
import { notify } from '../db/notices.ts';
import { rowsOf } from '../db/rows.ts';
import { attempts, tasks } from '../db/schema.ts';
import { backInQueue, ended, resetStages, skipStages } from './changes.ts';
import { type AttemptRow, type TaskRow, toAttempt, toTask } from './rows.ts';

export interface ClaimStoreOptions {
  /** This gateway's id, new at every start. */
  readonly owner: string;
  /** How long a claim holds without being renewed, by the database's clock. */
  readonly leaseMs: number;
}

/** Tasks that failed before and may be tried again: so many are looked at for one choice. */
const retriedAtOnce = 50;

/** A task that was begun so often without ever reaching a GPU takes its gateway down with it. */
const mostBeginnings = 20;

const waitedTooLong: TaskError = {
  code: 'queue_timeout',
  message: 'No backend could begin the task in the time that it may wait',
  stage: null,
  attempt: 0,
};

const isReady = sql`state = 'pending' and run_after is null`;

/** No name among them is a column's, so that an order by a column means the column. */
const queuedColumns = sql`
  id, workflow, workflow_hash, tenant, priority, to_json(coalesce(avoid, '{}')) as avoided,
  (extract(epoch from rank) * 1000)::float8 as rank_ms,
  (extract(epoch from created_at) * 1000)::float8 as created_ms`;

interface QueuedRow {
  readonly id: string;
  readonly workflow: string;
  readonly workflow_hash: string;
  readonly tenant: string;
  readonly priority: number;
  readonly avoided: readonly string[];
  readonly rank_ms: number;
  readonly created_ms: number;
}

/**
 * Who works on which task. A claim is taken, renewed and inherited here; all instants are the
 * database's.
 */
export class ClaimStore {
  readonly owner: string;
  readonly #orm: Orm;
  readonly #leaseMs: number;

  constructor(orm: Orm, { owner, leaseMs }: ClaimStoreOptions) {
    this.#orm = orm;
    this.owner = owner;
    this.#leaseMs = leaseMs;
  }

  /**
   * The tasks among which a backend may be given its next one: the head of each line (tasks of one
   * version of a workflow and one tenant), and the first of those that failed before. Each line is two
   * probes of an index, whatever the backlog. Their workflows come from the counts: a file may be gone
   * while its tasks wait.
   */
  async heads(): Promise<QueuedTask[]> {
    const result = await this.#orm.execute(sql`
      with recursive lines (workflow, workflow_hash, tenant) as (
        select line.workflow, line.workflow_hash, line.tenant
          from (select workflow from task_counts where state = 'pending'
                 group by workflow having sum(count) > 0) as waiting
          cross join lateral (
            select workflow, workflow_hash, tenant from tasks
             where ${isReady} and avoid is null and workflow = waiting.workflow
             order by workflow_hash, tenant limit 1) as line
        union all
        select next.workflow, next.workflow_hash, next.tenant
          from lines
          cross join lateral (
            select workflow, workflow_hash, tenant from tasks
             where ${isReady} and avoid is null and workflow = lines.workflow
               and (workflow_hash, tenant) > (lines.workflow_hash, lines.tenant)
             order by workflow_hash, tenant limit 1) as next
      )
      select head.* from lines
       cross join lateral (
         select ${queuedColumns} from tasks
          where ${isReady} and avoid is null
            and workflow = lines.workflow and workflow_hash = lines.workflow_hash
            and tenant = lines.tenant
          order by rank, seq limit 1) as head
      union all
      (select ${queuedColumns} from tasks
        where ${isReady} and avoid is not null
        order by rank, seq limit ${retriedAtOnce})`);
    return rowsOf<QueuedRow>(result).map(
      ({ avoided, rank_ms: rank, created_ms: createdMs, workflow_hash: workflowHash, ...row }) => ({
        ...row,
        workflowHash,
        rank,
        avoid: avoided,
        createdAt: new Date(createdMs),
      }),
    );
  }

  /** What each tenant has of the pool. */
  async shares(): Promise<Map<string, Share>> {
    const rows = await this.#orm
      .select({
        tenant: tasks.tenant,
        active: count(),
        servedAt: sql<number>`(extract(epoch from max(${attempts.startedAt})) * 1000)::float8`,
      })
      .from(tasks)
      .innerJoin(attempts, isCurrentAttempt)
      .where(eq(tasks.state, 'processing'))
      .groupBy(tasks.tenant);
    return new Map(rows.map(({ tenant, ...share }) => [tenant, share]));
  }

  /** Takes the task for the backend; `null` when another gateway was faster. */
  async claim(taskId: string, backend: string): Promise<Claim | null> {
    const id = randomUUID();
    const orm = this.#orm;
    const head = orm.$with('head').as(
      orm
        .select({
          id: tasks.id,
          attempt: tasks.attempt,
          workflow: tasks.workflow,
          fingerprint: tasks.fingerprint,
        })
        .from(tasks)
        .where(and(eq(tasks.id, taskId), eq(tasks.state, 'pending'), isNull(tasks.runAfter)))
        .for('update', { skipLocked: true }),
    );
    const label = sql.param(backend, attempts.backend);
    const begun = orm.$with('begun', {}).as(
      sql`insert into attempts (id, task_id, number, workflow, backend)
          select ${id}::uuid, head.id, head.attempt + 1, head.workflow, ${label} from head`,
    );
    const [row] = await orm
      .with(head, begun)
      .update(tasks)
      .set({
        state: 'processing',
        ...this.#lease(),
        attempt: sql`${tasks.attempt} + 1`,
        // Those with one lead: it has to find out first.
        fingerprint: null,
        startedAt: sql`coalesce(${tasks.startedAt}, now())`,
        updatedAt: sql`now()`,
      })
      .from(head)
      .where(eq(tasks.id, head.id))
      .returning({ ...getTableColumns(tasks), found: sql<string | null>`${head.fingerprint}` });
    if (!row) return null;
    const { found, ...task } = row;
    const attempt = { id, taskId: row.id, number: row.attempt, backend };
    const notYet = { promptId: null, postedAt: null, input: null };
    return { task: toTask(task), attempt: { ...attempt, ...notYet }, fingerprint: found };
  }

  /** Prolongs the claims and returns the ids of those that are still ours. */
  async renew(taskIds: readonly string[]): Promise<Set<string>> {
    if (taskIds.length === 0) return new Set();
    const rows = await this.#orm
      .update(tasks)
      .set({ leaseUntil: this.#lease().leaseUntil })
      .where(and(inArray(tasks.id, [...taskIds]), eq(tasks.owner, this.owner)))
      .returning({ id: tasks.id });
    return new Set(rows.map((row) => row.id));
  }

  /**
   * Takes over what a dead gateway left on one of these backends: the task with its attempt, whose
   * prompt may well be running. What is `held` here is let be: its lease ran out while the database
   * was away, and the next renewal prolongs it.
   */
  async takeOver(backends: readonly string[], held: readonly string[] = []): Promise<Claim[]> {
    if (backends.length === 0) return [];
    return await this.#orm.transaction(async (tx) => {
      const expired = await tx
        .select({ id: tasks.id })
        .from(tasks)
        .innerJoin(attempts, isCurrentAttempt)
        .where(
          and(
            isExpired(held),
            inArray(attempts.backend, [...backends]),
            isNotNull(attempts.promptId),
          ),
        )
        .limit(100)
        .for('update', { of: tasks, skipLocked: true });
      if (expired.length === 0) return [];
      const ids = expired.map((row) => row.id);
      const taken = await tx
        .update(tasks)
        .set({ ...this.#lease(), updatedAt: sql`now()` })
        .where(inArray(tasks.id, ids))
        .returning();
      const current = await tx.select().from(attempts).where(inArray(attempts.taskId, ids));
      return taken.map((row) => {
        const attempt = current.find((a) => a.taskId === row.id && a.number === row.attempt);
        return toClaim(row, attempt as AttemptRow);
      });
    });
  }

  /**
   * Puts tasks of dead gateways back into the queue where there is nothing to take over: no prompt
   * was made, or nobody has adopted it for so long that its backend must be gone, too. Only the
   * latter counts as a failure.
   */
  async requeueAbandoned(afterMs: number, held: readonly string[] = []): Promise<number> {
    const expired = isExpired(held);
    const prompts = sql`(
      select from attempts
       where attempts.task_id = tasks.id and attempts.number = tasks.attempt
         and attempts.prompt_id is not null)`;
    const longGone = sql`${tasks.leaseUntil} < now() - ${afterMs} * interval '1 ms'`;
    return await this.#orm.transaction(async (tx) => {
      const begun = await tx
        .update(tasks)
        .set({ ...backInQueue, runAfter: null })
        .where(and(expired, sql`not exists ${prompts}`))
        .returning({ id: tasks.id });
      const lost = await tx
        .update(tasks)
        .set({ ...backInQueue, runAfter: null, retries: sql`${tasks.retries} + 1` })
        .where(and(expired, longGone))
        .returning({ id: tasks.id });
      const requeued = [...begun, ...lost];
      for (const { id } of requeued) {
        await resetStages(tx, id);
        await notify(tx, 'ready', id);
      }
      return requeued.length;
    });
  }

  /** Ends the leases of all others: for an engine that only one gateway can have open. */
  async expireOthers(): Promise<void> {
    await this.#orm
      .update(tasks)
      .set({ leaseUntil: sql`now() - interval '1 ms'` })
      .where(and(eq(tasks.state, 'processing'), ne(tasks.owner, this.owner)));
  }

  /**
   * Lets tasks whose waiting time is over be claimed again; returns how many. A follower goes on
   * waiting while a twin leads, or is about to find out whether it does.
   */
  async wakeWaiting(): Promise<number> {
    const twins = sql`(
      select from tasks as twin
       where twin.fingerprint = tasks.fingerprint and twin.removed_at is null
         and (twin.state = 'processing' or twin.state = 'pending' and twin.run_after is null))`;
    const rows = await this.#orm
      .update(tasks)
      .set({ runAfter: null })
      .where(
        and(eq(tasks.state, 'pending'), sql`${tasks.runAfter} <= now()`, sql`not exists ${twins}`),
      )
      .returning({ id: tasks.id });
    return rows.length;
  }

  /** Fails tasks that have waited longer than they may, and returns them. */
  async expireQueued(): Promise<Task[]> {
    return await this.#orm.transaction(async (tx) => {
      const rows = await tx
        .update(tasks)
        .set({ ...ended, state: 'failed', error: waitedTooLong, updatedAt: sql`now()` })
        .where(and(eq(tasks.state, 'pending'), sql`${tasks.queueDeadline} < now()`))
        .returning();
      for (const { id } of rows) {
        await skipStages(tx, id);
        await notify(tx, 'ended', id);
      }
      return rows.map(toTask);
    });
  }

  #lease() {
    return {
      owner: this.owner,
      leaseUntil: sql`now() + ${this.#leaseMs} * interval '1 ms'`,
    };
  }
}

/** Nobody works on it any more, `held` here or elsewhere. */
function isExpired(held: readonly string[]): SQL | undefined {
  return and(
    eq(tasks.state, 'processing'),
    sql`${tasks.leaseUntil} < now()`,
    notInArray(tasks.id, [...held]),
  );
}

/**
 * Whether the task was begun so often that something in it must be deadly. What failed in a known way
 * is counted elsewhere.
 */
export function isBegunInVain({ task, attempt }: Claim): boolean {
  return attempt.number - task.retries > mostBeginnings;
}

const isCurrentAttempt = and(eq(attempts.taskId, tasks.id), eq(attempts.number, tasks.attempt));

function toClaim(task: TaskRow, attempt: AttemptRow): Claim {
  return { task: toTask(task), attempt: toAttempt(attempt), fingerprint: task.fingerprint };
}
