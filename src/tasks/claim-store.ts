import { randomUUID } from 'node:crypto';
import type { Claim } from '../core/attempt.ts';
import { type QueuedRun, type Share, unknownRunMs } from '../core/schedule.ts';
import type { TaskError } from '../core/task.ts';
import { asJsonb } from '../db/columns.ts';
import { and, eq, inArray, ne, type SQL, sql } from '../db/drizzle.ts';
import { rowsOf } from '../db/rows.ts';
import { attempts, runs } from '../db/schema.ts';
import type { Door, Moved } from './door.ts';
import { isOfLine, isReady, linesPart, retriedAtOnce } from './lines.ts';
import { type Forgiveness, forgive, forgivenShard } from './move-steps.ts';
import { isPaused } from './pause-store.ts';
import { toAttempt, toRun, toTask } from './rows.ts';

/** A run that was begun so often without ever reaching a GPU takes its gateway down with it. */
const mostBeginnings = 20;

/** Prompts that are taken over in one round. */
const adoptedAtOnce = 100;

const waitedTooLong: TaskError = {
  code: 'queue_timeout',
  message: 'No backend could begin the task in the time that it may wait',
  stage: null,
  attempt: 0,
};

/** Aliases differ from the names of columns, so that an order by a column means the column. */
/** A tenant's share, and how much of it was forgiven by then, milliseconds. */
export interface SeenShare extends Share {
  readonly forgivenMs: number;
}

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
 * Who works on which run. A claim is taken, renewed and inherited here; all instants are the database's.
 */
export class ClaimStore {
  readonly owner: string;
  readonly #door: Door;
  readonly #leaseMs: number;
  /** Tenants of which nothing more is begun for now. */
  readonly #busy: SQL;

  /**
   * `leaseMs`: how long a claim holds without being renewed, by the database's clock. `runningAtMost`: runs of one
   * tenant that are under way at once; `null` for any number.
   */
  constructor(
    door: Door,
    { leaseMs, runningAtMost = null }: { leaseMs: number; runningAtMost?: number | null },
  ) {
    this.#door = door;
    this.owner = door.gateway;
    this.#leaseMs = leaseMs;
    this.#busy = busyTenants(runningAtMost);
  }

  /**
   * The runs among which a backend may be given its next one: the head of each line (runs of one version of
   * a workflow and one tenant), and the first of those that failed before; none of what is paused, or of tenants
   * that have as much under way as they may. Each line is two probes of an index, whatever the backlog.
   */
  async heads(): Promise<QueuedRun[]> {
    const result = await this.#door.orm.execute(sql`
      with recursive ${linesPart}, busy as materialized (${this.#busy})
      select head.* from lines
       cross join lateral (
         select ${queuedColumns} from runs where ${isOfLine} order by rank, seq limit 1) as head
       where not ${isPaused(sql`lines.workflow`, sql`lines.tenant`)}
         and lines.tenant not in (select tenant from busy)
      union all
      (select ${queuedColumns} from runs
        where ${isReady} and avoid is not null and not ${isPaused(sql`runs.workflow`, sql`runs.tenant`)}
          and tenant not in (select tenant from busy)
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

  /** What each of these tenants has of the pool. `durations`: how long workflows take, milliseconds. */
  async shares(
    tenants: readonly string[],
    durations: ReadonlyMap<string, number>,
  ): Promise<Map<string, SeenShare>> {
    const isOneOf = sql`tenant = any(${sql.param([...tenants], runs.avoid)}::text[])`;
    const known = [...durations].map(([workflow, ms]) => ({ workflow, ms }));
    const sinceMs = sql`extract(epoch from now() - attempts.posted_at) * 1000`;
    const result = await this.#door.orm.execute(sql`
      select tenant, sum(ms)::float8 as "chargedMs",
             coalesce(extract(epoch from max(started_at)) * 1000, 0)::float8 as "servedAt",
             coalesce(sum(forgiven_ms), 0)::float8 as "forgivenMs"
        from (
          select tenant, charged_ms as ms, null::timestamptz as started_at,
                 case when shard = ${forgivenShard} then charged_ms end as forgiven_ms
            from tenant_totals where ${isOneOf}
          union all
          select runs.tenant,
                 coalesce(attempts.used_ms, greatest(coalesce(known.ms, ${unknownRunMs}), ${sinceMs})),
                 attempts.started_at, null
            from runs join attempts on ${isCurrentAttempt}
            left join jsonb_to_recordset(${asJsonb(known)}) as known (workflow text, ms float8)
              on known.workflow = runs.workflow
           where runs.state = 'processing' and runs.${isOneOf}) as charges
       group by tenant`);
    const rows = rowsOf<SeenShare & { readonly tenant: string }>(result);
    return new Map(rows.map(({ tenant, ...share }) => [tenant, share]));
  }

  /**
   * Takes the run for the backend; `null` when another gateway was faster, it was paused, or its tenant has
   * enough under way. `forgiveness`: what its tenant is forgiven with that (`core/schedule.ts`).
   */
  async claim(
    runId: string,
    backend: string,
    forgiveness: Forgiveness | null = null,
  ): Promise<Claim | null> {
    const id = randomUUID();
    const label = sql.param(backend, attempts.backend);
    const moved = await this.#door.carryOut('begun', {
      which: sql`runs.id = ${runId}::uuid and runs.run_after is null and runs.needs = '{}'
        and not ${isPaused(sql`runs.workflow`, sql`runs.tenant`)}
        and runs.tenant not in (${this.#busy})`,
      limit: 1,
      run: this.#lease(),
      body: { backend },
      beside: {
        begun: sql`
          insert into attempts (id, task_id, run_id, number, workflow, backend)
          select ${id}::uuid, moved.task_ids[1], moved.id, moved.attempt, moved.workflow, ${label}
            from moved`,
        ...(forgiveness ? { forgiven: forgive(forgiveness) } : {}),
      },
    });
    const [claimed] = claimsOf(moved);
    if (!claimed) return null;
    const notYet = { promptId: null, postedAt: null, input: null };
    return { ...claimed, attempt: { id, number: claimed.run.attempt, backend, ...notYet } };
  }

  /** Prolongs the claims and returns the ids of those that are still ours. */
  async renew(runIds: readonly string[]): Promise<Set<string>> {
    if (runIds.length === 0) return new Set();
    const { orm } = this.#door;
    // In the order in which other moves lock several.
    const held = orm.$with('held').as(
      orm
        .select({ id: runs.id })
        .from(runs)
        .where(and(inArray(runs.id, [...runIds]), eq(runs.owner, this.owner)))
        .orderBy(runs.id)
        .for('update'),
    );
    const rows = await orm
      .with(held)
      .update(runs)
      .set({ leaseUntil: this.#lease().leaseUntil })
      .from(held)
      .where(eq(runs.id, held.id))
      .returning({ id: runs.id });
    return new Set(rows.map((row) => row.id));
  }

  /**
   * Takes over what a dead gateway left on one of these backends: the run with its attempt, whose prompt may
   * well be running. What is `held` here is let be: its lease ran out while the database was away, and the
   * next renewal prolongs it.
   */
  async takeOver(backends: readonly string[], held: readonly string[] = []): Promise<Claim[]> {
    if (backends.length === 0) return [];
    const labels = sql`${sql.param([...backends], runs.avoid)}::text[]`;
    const hasPromptThere = sql`exists (
      select from attempts
       where ${isCurrentAttempt} and prompt_id is not null and backend = any(${labels}))`;
    const taken = claimsOf(
      await this.#door.carryOut('adopted', {
        which: sql`${isExpired(held)} and ${hasPromptThere}`,
        limit: adoptedAtOnce,
        run: this.#lease(),
      }),
    );
    if (taken.length === 0) return [];
    const rows = await this.#door.orm
      .select()
      .from(attempts)
      .where(
        inArray(
          attempts.runId,
          taken.map(({ run }) => run.id),
        ),
      );
    return taken.flatMap(({ run, task }) => {
      const row = rows.find((each) => each.runId === run.id && each.number === run.attempt);
      return row ? [{ run, task, attempt: toAttempt(row) }] : [];
    });
  }

  /**
   * Puts runs of dead gateways back into the queue where there is nothing to take over: no prompt was made,
   * or nobody has adopted it for so long that its backend must be gone, too. Only the latter counts as a
   * failure.
   */
  async requeueAbandoned(afterMs: number, held: readonly string[] = []): Promise<number> {
    const hasPrompt = sql`exists (
      select from attempts where ${isCurrentAttempt} and prompt_id is not null)`;
    const isLongGone = sql`runs.lease_until < now() - ${afterMs} * interval '1 ms'`;
    const begun = await this.#door.carryOutAll('requeued', {
      which: sql`${isExpired(held)} and not ${hasPrompt}`,
    });
    const lost = await this.#door.carryOutAll('requeued', {
      which: sql`${isExpired(held)} and ${isLongGone}`,
      run: { retries: sql`runs.retries + 1` },
    });
    return begun + lost;
  }

  /** Ends the leases of all others: for an engine that only one gateway can have open. */
  async expireOthers(): Promise<void> {
    await this.#door.orm
      .update(runs)
      .set({ leaseUntil: sql`now() - interval '1 ms'` })
      .where(and(eq(runs.state, 'processing'), ne(runs.owner, this.owner)));
  }

  /** Lets runs whose waiting time is over be claimed again; returns how many. */
  async wakeWaiting(): Promise<number> {
    return await this.#door.carryOutAll('woken', { which: sql`runs.run_after <= now()` });
  }

  /** Fails the tasks of runs that have waited longer than they may; returns how many runs. */
  async expireQueued(): Promise<number> {
    const { code, message } = waitedTooLong;
    return await this.#door.carryOutAll('expired', {
      which: sql`runs.queue_deadline < now()`,
      task: { error: waitedTooLong },
      body: { code, message },
    });
  }

  /**
   * Fails the task of a run that waits, by its source. Nothing happens where it is worked on by now, or where
   * others share the run: what is wrong with this source says nothing of theirs.
   */
  async reject(runId: string, error: TaskError): Promise<void> {
    const { code, message } = error;
    await this.#door.carryOut('rejected', {
      which: sql`runs.id = ${runId}::uuid and runs.state = 'pending' and cardinality(runs.task_ids) = 1`,
      task: { error },
      detail: message,
      body: { code, message },
    });
  }

  #lease() {
    return {
      owner: this.owner,
      leaseUntil: sql`now() + ${this.#leaseMs} * interval '1 ms'`,
    };
  }
}

/** Without keys there are no tenants to tell apart. */
function busyTenants(runningAtMost: number | null): SQL {
  if (runningAtMost === null) return sql`select null::text as tenant where false`;
  return sql`
    select tenant from runs where state = 'processing' and tenant <> ''
     group by tenant having count(*) >= ${runningAtMost}`;
}

/** Nobody works on it any more, `held` here or elsewhere. */
function isExpired(held: readonly string[]): SQL {
  const ids = sql`${sql.param([...held], runs.taskIds)}::uuid[]`;
  return sql`runs.state = 'processing' and runs.lease_until < now() and runs.id <> all(${ids})`;
}

/**
 * Whether the run was begun so often that something in it must be deadly. What failed in a known way is
 * counted elsewhere.
 */
export function hasExhaustedStarts({ run, attempt }: Claim): boolean {
  return attempt.number - run.retries > mostBeginnings;
}

const isCurrentAttempt = sql`attempts.run_id = runs.id and attempts.number = runs.attempt`;

/** Each run with the first of its tasks. */
function claimsOf(moved: readonly Moved[]): Omit<Claim, 'attempt'>[] {
  return moved.flatMap(({ run, task }) =>
    run.taskIds[0] === task.id ? [{ run: toRun(run), task: toTask(task) }] : [],
  );
}
