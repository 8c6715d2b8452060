import { recordStep } from '../audit/record-step.ts';
import type { OperatorAct } from '../core/operator-event.ts';
import type { ResultKind } from '../core/result-format.ts';
import type { TaskOutput } from '../core/task.ts';
import { realTempo, type Tempo } from '../core/tempo.ts';
import { asJsonb } from '../db/columns.ts';
import type { Database, Orm } from '../db/connect.ts';
import { and, asc, eq, inArray, isNotNull, isNull, type SQL, sql } from '../db/drizzle.ts';
import { inRounds } from '../db/in-rounds.ts';
import { firstRow, rowsOf } from '../db/rows.ts';
import { runs, tasks } from '../db/schema.ts';
import { withParts } from '../db/statement.ts';
import { addToTotals } from './move-steps.ts';
import { belongsTo, type DialectOwner, type TaskOwner } from './task-store.ts';

/** What an owner has in the store, of one kind of media. */
export interface ResultUsage {
  readonly kind: ResultKind;
  readonly storedBytes: number;
  /** Tasks with results. */
  readonly count: number;
}

/** A task whose results are to go, and where the store keeps them. */
export interface ExpiredResult {
  readonly taskId: string;
  readonly keys: readonly string[];
}

export interface ResultStoreOptions {
  /** How long results are kept whose task says nothing else, milliseconds; `null` for ever. */
  readonly retentionMs: number | null;
  /** When results take more, thumbnails aside, the oldest go; `null` for any number. */
  readonly maxBytes: number | null;
}

/** Where a page of expired results ends. */
export interface ExpiryCursor {
  readonly at: string;
  readonly id: string;
}

const keptForEver: ResultStoreOptions = { retentionMs: null, maxBytes: null };

/** Rows are locked for the length of a statement, which is to be short. */
const expiredAtOnce = 1_000;
/** Room is made for a while: to find the oldest, all that is stored has to be summed up. */
const lowWater = 0.95;

/** Outputs come with the completion; the index of what is stored has the same words. */
const isStored = and(isNotNull(tasks.outputs), isNull(tasks.removedAt)) as SQL;

/**
 * The record of which results are in the object store and for how long. Results whose time is over
 * (`keep_until`) are expired, and go with the next sweep.
 */
export class ResultStore {
  readonly #orm: Orm;
  readonly #patientOrm: Orm;
  readonly #options: ResultStoreOptions;
  readonly #tempo: Tempo['results'];
  /** What was stored when it was last summed up, by the database's clock; `null` before that. */
  #summed: { readonly bytes: number; readonly at: string } | null = null;

  constructor(
    { orm, patientOrm }: Pick<Database, 'orm' | 'patientOrm'>,
    options: ResultStoreOptions = keptForEver,
    tempo: Tempo['results'] = realTempo.results,
  ) {
    this.#orm = orm;
    this.#patientOrm = patientOrm;
    this.#options = options;
    this.#tempo = tempo;
  }

  /** `false`: there is no such task. Before it has completed nothing is written. */
  async collect(taskId: string, owner: TaskOwner, keepMs: number): Promise<boolean> {
    return await this.#change(taskId, owner, {
      collectedAt: sql`coalesce(${tasks.collectedAt}, now())`,
      keepUntil: fromNow(keepMs),
    });
  }

  /** Puts off when the results go, never forward. `false`: there is no such task. */
  async keep(taskId: string, owner: TaskOwner, keepMs: number): Promise<boolean> {
    const { retentionMs } = this.#options;
    const usual =
      retentionMs === null
        ? sql`'infinity'`
        : sql`${tasks.finishedAt} + ${retentionMs} * interval '1 ms'`;
    const until = sql`greatest(coalesce(${tasks.keepUntil}, ${usual}), ${fromNow(keepMs)})`;
    return await this.#change(taskId, owner, { keepUntil: sql`nullif(${until}, 'infinity')` });
  }

  /** `false`: there is no such task. */
  async expire(taskId: string, owner: TaskOwner): Promise<boolean> {
    return await this.#change(taskId, owner, { keepUntil: noLater });
  }

  /** Collected for good, however the task ended. `false`: there is no such task that has ended. */
  async dismiss(taskId: string, owner: TaskOwner): Promise<boolean> {
    const dismissed = await this.#orm
      .update(tasks)
      .set({
        collectedAt: sql`coalesce(${tasks.collectedAt}, now())`,
        // What stores nothing has nothing to be swept.
        keepUntil: sql`case when ${isStored} then ${noLater} else ${tasks.keepUntil} end`,
      })
      .where(
        and(
          eq(tasks.id, taskId),
          belongsTo(owner),
          inArray(tasks.state, ['completed', 'failed', 'canceled']),
        ),
      )
      .returning({ id: tasks.id });
    return dismissed.length > 0;
  }

  /** Expires what was kept as long as results are, if nothing else was said of it. */
  async expireOld(): Promise<void> {
    const { retentionMs } = this.#options;
    if (retentionMs === null) return;
    const isOld = sql`${tasks.finishedAt} < now() - ${retentionMs} * interval '1 ms'`;
    await inRounds(expiredAtOnce, async () => {
      const old = this.#orm
        .select({ id: tasks.id })
        .from(tasks)
        .where(and(isStored, isNull(tasks.keepUntil), isOld))
        .orderBy(asc(tasks.finishedAt))
        .limit(expiredAtOnce)
        .for('update', { skipLocked: true });
      const expired = await this.#orm
        .update(tasks)
        .set({ keepUntil: atOnce })
        .where(inArray(tasks.id, old))
        .returning({ id: tasks.id });
      return expired.length;
    });
  }

  /**
   * Expires the oldest results, whatever was said of them, where all together take too much. The newest
   * stays in any case. To sum up a million of them takes a second, so that between two times only what
   * came is added.
   */
  async expireBeyondBudget(): Promise<void> {
    const { maxBytes } = this.#options;
    if (maxBytes === null) return;
    const summed = this.#summed;
    if (summed && summed.bytes + (await this.#storedSince(summed.at)) <= maxBytes) return;
    this.#summed = await this.#patientOrm.transaction(async (tx) => {
      // Two that make room at the same time would make twice as much.
      const [lock] = rowsOf<{ taken: boolean }>(
        await tx.execute(sql`select ${budgetLock} as taken`),
      );
      if (!lock?.taken) return null;
      const { bytes, at } = await sumUp(tx);
      let excess = bytes > maxBytes ? bytes - Math.floor(maxBytes * lowWater) : 0;
      let left = bytes;
      while (excess > 0) {
        const freed = await expireOldest(tx, excess);
        if (freed === null) break;
        excess -= freed;
        left -= freed;
      }
      return { bytes: left, at };
    });
  }

  /** The next tasks whose results have expired and are still in the store. */
  async due(limit: number, after: ExpiryCursor | null): Promise<ExpiryCursor[]> {
    const isLater = after && sql`(keep_until, id) > (${after.at}::timestamptz, ${after.id}::uuid)`;
    return await this.#orm
      .select({ id: tasks.id, at: sql<string>`${tasks.keepUntil}::text` })
      .from(tasks)
      .where(and(isStored, sql`${tasks.keepUntil} <= now()`, isLater ?? undefined))
      .orderBy(asc(tasks.keepUntil), asc(tasks.id))
      .limit(limit);
  }

  /** Expires the collected results of these kinds, on record where there are any; returns the tasks' ids. */
  async expireCollected(
    owner: DialectOwner,
    kinds: readonly ResultKind[],
    { actor, gateway }: { readonly actor: string; readonly gateway: string },
  ): Promise<{ ids: string[]; act: OperatorAct | null }> {
    const { dialect, tenant } = owner;
    const act = { actor, kind: 'results_discarded', subject: tenant ?? '' } as const;
    const said = { dialect, types: kinds };
    const expired = this.#orm.$with('expired').as(
      this.#orm
        .update(tasks)
        .set({ keepUntil: noLater })
        .where(and(isOf(owner, kinds), isStored, isNotNull(tasks.collectedAt)))
        .returning({ id: tasks.id }),
    );
    const body = sql`${asJsonb(said)} || jsonb_build_object('tasks', counted.tasks)`;
    const counted = sql`(select count(*) as tasks from expired having count(*) > 0) as counted`;
    const step = recordStep({ ...act, gateway, body }, counted);
    const recorded = this.#orm.$with('recorded', {}).as(step);
    const rows = await this.#orm.with(expired, recorded).select().from(expired);
    const ids = rows.map(({ id }) => id);
    return { ids, act: ids.length > 0 ? { ...act, body: { ...said, tasks: ids.length } } : null };
  }

  /** Of these kinds, the tasks that have not ended and those whose results nobody has collected. */
  async countUncollected(
    owner: TaskOwner,
    kinds: readonly ResultKind[],
  ): Promise<{ inProgress: number; uncollected: number }> {
    const isUnderWay = inArray(tasks.state, ['pending', 'processing']);
    const isUncollected = and(isStored, isNull(tasks.collectedAt));
    const [row] = await this.#orm
      .select({
        inProgress: sql<number>`(count(*) filter (where ${isUnderWay}))::int`,
        uncollected: sql<number>`(count(*) filter (where ${isUncollected}))::int`,
      })
      .from(tasks)
      .where(isOf(owner, kinds));
    return row ?? { inProgress: 0, uncollected: 0 };
  }

  async usage(owner: TaskOwner): Promise<ResultUsage[]> {
    return await this.#orm
      .select({
        kind: tasks.kind,
        storedBytes: sql<number>`coalesce(sum(${tasks.storedBytes}), 0)::float8`,
        count: sql<number>`count(*)::int`,
      })
      .from(tasks)
      .where(and(belongsTo(owner), isStored))
      .groupBy(tasks.kind);
  }

  /** Of these tasks, those whose results have expired and are still in the store. */
  async expired(taskIds: readonly string[]): Promise<ExpiredResult[]> {
    if (taskIds.length === 0) return [];
    const rows = await this.#orm
      .select({ taskId: tasks.id, outputs: tasks.outputs })
      .from(tasks)
      .where(and(inArray(tasks.id, [...taskIds]), isStored, sql`${tasks.keepUntil} <= now()`));
    return rows.map(({ taskId, outputs }) => ({ taskId, keys: (outputs ?? []).flatMap(keysOf) }));
  }

  /** Their objects are gone, and what was told of texts goes with them. */
  async recordRemoved(taskIds: readonly string[]): Promise<void> {
    if (taskIds.length === 0) return;
    const ids = sql`${sql.param([...taskIds], runs.taskIds)}::uuid[]`;
    await this.#orm.execute(
      withParts({
        removed: sql`
          update tasks set removed_at = now(), outputs = ${withoutTexts}
           where id = any(${ids}) and ${isStored}
          returning tenant, stored_bytes`,
        totaled: addToTotals(sql`
          select tenant, -sum(stored_bytes), 0 from removed where stored_bytes > 0 group by tenant`),
      }).append(sql` select`),
    );
  }

  /** Of these objects, the keys of those whose tasks have ended and have no use for them. */
  async unused(objects: readonly { key: string; taskId: string }[]): Promise<string[]> {
    if (objects.length === 0) return [];
    const rows = objects.map(({ key, taskId }) => ({ key, task_id: taskId }));
    const result = await this.#orm.execute(sql`
      select object.key
        from jsonb_to_recordset(${asJsonb(rows)}) as object (key text, task_id uuid)
        join tasks on tasks.id = object.task_id
       where tasks.state in ('failed', 'canceled')
          or (tasks.state = 'completed'
              and (tasks.removed_at is not null
                   or not (tasks.outputs @> jsonb_build_array(jsonb_build_object('key', object.key))
                           or tasks.outputs @> jsonb_build_array(
                             jsonb_build_object('thumbnailKey', object.key)))))`);
    return rowsOf<{ key: string }>(result).map(({ key }) => key);
  }

  async #storedSince(at: string): Promise<number> {
    // A task counts from the beginning of the transaction that ended it.
    const since = sql`${at}::timestamptz - ${this.#tempo.commitMs} * interval '1 ms'`;
    const [row] = await this.#orm
      .select({ bytes: sql<number>`coalesce(sum(${tasks.storedBytes}), 0)::float8` })
      .from(tasks)
      .where(and(isStored, sql`${tasks.finishedAt} > ${since}`));
    return row?.bytes ?? 0;
  }

  /** `false`: there is no such task. One without stored results stays as it is. */
  async #change(
    taskId: string,
    owner: TaskOwner,
    change: Partial<Record<'keepUntil' | 'collectedAt', SQL>>,
  ): Promise<boolean> {
    const isTheirs = and(eq(tasks.id, taskId), belongsTo(owner));
    const changed = await this.#orm
      .update(tasks)
      .set(change)
      .where(and(isTheirs, isStored))
      .returning({ id: tasks.id });
    if (changed.length > 0) return true;
    const found = await this.#orm.select({ id: tasks.id }).from(tasks).where(isTheirs);
    return found.length > 0;
  }
}

/** Most have none, and stay as they are. */
const withoutTexts = sql`
  case when outputs @? '$[*].text' then (
    select jsonb_agg(output - 'text' order by place)
      from jsonb_array_elements(outputs) with ordinality as each (output, place))
  else outputs end`;

const isKept = and(isStored, sql`(${tasks.keepUntil} is null or ${tasks.keepUntil} > now())`);
const budgetLock = sql`pg_try_advisory_xact_lock(hashtext('tmlsr:result-budget'))`;

async function sumUp(tx: Orm): Promise<{ bytes: number; at: string }> {
  const rows = await tx
    .select({
      bytes: sql<number>`coalesce(sum(${tasks.storedBytes}), 0)::float8`,
      at: sql<string>`now()::text`,
    })
    .from(tasks)
    .where(isKept);
  return firstRow(rows, 'sum');
}

/**
 * Expires as many of the oldest as take so many bytes, a batch of them at most; returns what they take,
 * `null` when there are no more.
 */
async function expireOldest(tx: Orm, bytes: number): Promise<number | null> {
  const result = await tx.execute(sql`
    with oldest as (
      select id, seq, finished_at, coalesce(stored_bytes, 0) as bytes from tasks
       where ${isKept} and finished_at < (select max(finished_at) from tasks where ${isStored})
       order by finished_at limit ${expiredAtOnce} for update skip locked
    ), counted as (
      select id, bytes, sum(bytes) over (order by finished_at, seq) - bytes as before from oldest
    )
    update tasks set keep_until = ${atOnce} from counted
     where tasks.id = counted.id and counted.before < ${bytes}
    returning counted.bytes::float8 as bytes`);
  const expired = rowsOf<{ bytes: number }>(result);
  return expired.length === 0 ? null : expired.reduce((sum, each) => sum + each.bytes, 0);
}

/** What did not go to an address of the client's, and the small pictures. */
function keysOf({ key, deliveredTo, thumbnailKey }: TaskOutput): string[] {
  return [...(deliveredTo ? [] : [key]), ...(thumbnailKey ? [thumbnailKey] : [])];
}

/** Columns hold milliseconds: rounded, `now()` could lie in the future for the next statement. */
const atOnce = sql`date_trunc('milliseconds', now())`;
const noLater = sql`least(${tasks.keepUntil}, ${atOnce})`;

function fromNow(ms: number): SQL {
  return sql`${atOnce} + ${ms} * interval '1 ms'`;
}

function isOf(owner: TaskOwner, kinds: readonly ResultKind[]): SQL | undefined {
  return and(belongsTo(owner), inArray(tasks.kind, [...kinds]));
}
