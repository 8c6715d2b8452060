import type { Run } from '../core/run.ts';
import type { SourceNote } from '../core/source-note.ts';
import { asJsonb } from '../db/columns.ts';
import type { Orm } from '../db/connect.ts';
import { and, eq, inArray, type SQL, sql } from '../db/drizzle.ts';
import { rowsOf } from '../db/rows.ts';
import { heldSources, runs } from '../db/schema.ts';
import { unreadLines } from './lines.ts';

/** Which source: of what run, for which of its workflow's inputs. */
export interface SourceKey {
  readonly runId: string;
  readonly input: string;
}

/** What the database tells of a source that some gateway holds. */
export interface HeldSource {
  /** `null` while it is being fetched. */
  readonly note: SourceNote | null;
  /** Where the object store has it, or is about to. */
  readonly objectKey: string | null;
  /** Whether it is known to be there. */
  readonly isStored: boolean;
  /** Whether another gateway, which is alive, fetches it or has it on its disk. */
  readonly isWithOther: boolean;
}

/** A record of which nothing is needed any more. */
export interface EndedSource extends SourceKey {
  readonly objectKey: string | null;
}

/** A run that waits, and whose links nobody has read. */
export interface UnreadRun
  extends Pick<
    Run,
    'id' | 'workflow' | 'workflowHash' | 'tenant' | 'kind' | 'sources' | 'attempt'
  > {
  /** Its place in the order, milliseconds. */
  readonly rank: number;
  /** Whether an attempt for its task was begun before, which may have read them. */
  readonly wasBegun: boolean;
}

/** A link that a gateway is to read for a run that waits. */
export interface LinkToRead {
  /** The workflow's input that it is for. */
  readonly input: string;
  /** Whether a gateway that has let go of the run had begun to read it. */
  readonly brokeOff: boolean;
}

/** How far a source was read before. */
export type Reading = 'whole' | 'begun' | 'never';

interface UnreadRow extends Omit<UnreadRun, 'rank'> {
  readonly rank_ms: number;
  readonly moved_at: unknown;
}

const removedAtOnce = 100;

const isOpen = sql`state in ('pending', 'processing')`;
const holderIsAlive = sql`exists (
  select from gateways where gateways.id = held.gateway and gateways.lease_until > now())`;

/** Which gateways hold which sources, as far as others have to know. All instants are the database's. */
export class HeldSourceStore {
  readonly #orm: Orm;
  readonly #gateway: string;

  /** `gateway`: the id of this one. */
  constructor(orm: Orm, gateway: string) {
    this.#orm = orm;
    this.#gateway = gateway;
  }

  /** `null`: nobody has told of it. */
  async find({ runId, input }: SourceKey): Promise<HeldSource | null> {
    const result = await this.#orm.execute(sql`
      select note, object_key as "objectKey", stored_at is not null as "isStored",
             (gateway is distinct from ${this.#gateway}::uuid and ${holderIsAlive}
               and coalesce(rests_until <= now(), true)) as "isWithOther"
        from held_sources as held where run_id = ${runId}::uuid and input = ${input}`);
    return rowsOf<HeldSource>(result)[0] ?? null;
  }

  /**
   * How far the source was read before, as far as the record tells. `mayBeBegun`: its reader may have left no record.
   * What the source itself broke off was begun for nobody.
   */
  async readingOf({ runId, input }: SourceKey, mayBeBegun: boolean): Promise<Reading> {
    const ofRun = sql`run_id = ${runId}::uuid`;
    const ofSource = sql`${ofRun} and input = ${input}`;
    const result = await this.#orm.execute(sql`
      select case
        when exists (select from held_sources where ${ofSource} and note is not null)
          or exists (select from attempts where ${ofRun} and prompt_id is not null) then 'whole'
        when exists (
            select from held_sources
             where ${ofSource} and rests_until is null and gateway is distinct from ${this.#gateway}::uuid)
          or ${mayBeBegun}::bool and not exists (
            select from attempts where ${ofRun} and error ->> 'code' like 'source\\_%') then 'begun'
        else 'never' end as reading`);
    return rowsOf<{ reading: Reading }>(result)[0]?.reading ?? 'never';
  }

  /** This gateway is reading the link for an attempt: who looks for the source waits for it. */
  async announce({ runId, input }: SourceKey): Promise<void> {
    await this.#orm.execute(sql`
      insert into held_sources as held (run_id, input, gateway)
      select id, ${input}, ${this.#gateway}::uuid from runs where id = ${runId}::uuid and ${isOpen}
      on conflict (run_id, input) do update set gateway = excluded.gateway, rests_until = null
       where held.note is null`);
  }

  /**
   * This gateway has the source on its disk, and is about to put it into the store, under the key that is
   * returned. `null`: it is there already, or the run has ended.
   */
  async storing(
    { runId, input }: SourceKey,
    note: SourceNote,
    key: string,
  ): Promise<string | null> {
    const result = await this.#orm.execute(sql`
      insert into held_sources as held (run_id, input, gateway, note, object_key)
      select id, ${input}, ${this.#gateway}::uuid, ${asJsonb(note)}, ${key}
        from runs where id = ${runId}::uuid and ${isOpen}
      on conflict (run_id, input) do update set
        gateway = excluded.gateway, note = excluded.note, rests_until = null,
        object_key = coalesce(held.object_key, excluded.object_key)
      returning object_key as key, stored_at is not null as "isStored"`);
    const [row] = rowsOf<{ key: string; isStored: boolean }>(result);
    return !row || row.isStored ? null : row.key;
  }

  /** `false`: the run has ended meanwhile, and the object is nobody's. */
  async stored({ runId, input }: SourceKey): Promise<boolean> {
    const rows = await this.#orm
      .update(heldSources)
      .set({ storedAt: sql`now()` })
      .where(and(eq(heldSources.runId, runId), eq(heldSources.input, input)))
      .returning({ key: heldSources.objectKey });
    return rows.length > 0;
  }

  /** Those of these runs that have not ended. */
  async openRuns(runIds: readonly string[]): Promise<ReadonlySet<string>> {
    return await this.#inState(runIds, isOpen);
  }

  /**
   * Records of runs that have ended: of one, or a number of all. One that another gateway is storing at this
   * moment is left to that.
   */
  async ended(runId: string | null): Promise<EndedSource[]> {
    const among = runId === null ? sql`` : sql`held.run_id = ${runId}::uuid and`;
    const result = await this.#orm.execute(sql`
      select run_id as "runId", input, object_key as "objectKey" from held_sources as held
       where ${among} not exists (select from runs where runs.id = held.run_id and ${isOpen})
         and (object_key is null or stored_at is not null or gateway = ${this.#gateway}::uuid
              or not ${holderIsAlive})
       limit ${removedAtOnce}`);
    return rowsOf<EndedSource>(result);
  }

  /** The head of each line of runs whose links nobody reads, as far as it has waited that long. */
  async unread(waitedMs: number): Promise<UnreadRun[]> {
    const result = await this.#orm.execute(sql`
      with recursive ${unreadLines.part}
      select head.* from lines
       cross join lateral (
         select id, workflow, workflow_hash as "workflowHash", tenant, kind, sources, attempt, moved_at,
                (extract(epoch from rank) * 1000)::float8 as rank_ms,
                exists (
                  select from tasks where tasks.id = runs.task_ids[1] and started_at is not null
                ) as "wasBegun"
           from runs where ${unreadLines.isOfLine} order by rank, seq limit 1) as head
       where head.moved_at <= now() - ${waitedMs} * interval '1 ms'`);
    return rowsOf<UnreadRow>(result).map(({ rank_ms: rank, moved_at: _, ...run }) => ({
      ...run,
      rank,
    }));
  }

  /**
   * This gateway reads the links for these inputs of a run that waits. Returns those which have to be read:
   * none where another gateway was faster, or the run waits no more.
   */
  async reading(runId: string, inputs: readonly string[]): Promise<LinkToRead[]> {
    const names = sql`${sql.param([...inputs], runs.avoid)}::text[]`;
    const result = await this.#orm.execute(sql`
      with taken as (
        update runs set is_unread = false
         where id = ${runId}::uuid and state = 'pending' and is_unread returning id),
      begun as (
        select input from held_sources
         where run_id = ${runId}::uuid and note is null and rests_until is null)
      insert into held_sources as held (run_id, input, gateway)
      select taken.id, name, ${this.#gateway}::uuid from taken, unnest(${names}) as name
      on conflict (run_id, input) do update set gateway = excluded.gateway, rests_until = null
       where held.note is null
      returning input, input in (select input from begun) as "brokeOff"`);
    return rowsOf<LinkToRead>(result);
  }

  /** As `reading`, after a rest: of a run that this gateway reads. */
  async readingAgain(runId: string): Promise<LinkToRead[]> {
    const result = await this.#orm.execute(sql`
      update held_sources as held set rests_until = null
       where run_id = ${runId}::uuid and gateway = ${this.#gateway}::uuid and note is null
         and exists (select from runs where runs.id = held.run_id and state = 'pending')
      returning input, false as "brokeOff"`);
    return rowsOf<LinkToRead>(result);
  }

  /** This gateway has read the link. */
  async noted({ runId, input }: SourceKey, note: SourceNote): Promise<void> {
    await this.#orm.update(heldSources).set({ note }).where(this.#isOurs(runId, input));
  }

  /** The link did not answer: this gateway reads it again, but not for so long. */
  async resting({ runId, input }: SourceKey, ms: number): Promise<void> {
    await this.#orm
      .update(heldSources)
      .set({ restsUntil: sql`now() + ${ms} * interval '1 ms'` })
      .where(this.#isOurs(runId, input));
  }

  /** This gateway reads the links of the run no more: whoever works on it does. */
  async giveUp(runId: string): Promise<void> {
    await this.#orm.execute(sql`
      delete from held_sources
       where run_id = ${runId}::uuid and gateway = ${this.#gateway}::uuid and note is null`);
  }

  /**
   * The same, but what it had begun to read stays on record. `isUnread`: another gateway may read the links, as long as
   * the run waits.
   */
  async breakOff(runId: string, isUnread: boolean): Promise<void> {
    await this.#leave(sql`run_id = ${runId}::uuid and gateway = ${this.#gateway}::uuid`, isUnread);
  }

  /** Leaves the links to others that gateways were reading which are no more. */
  async leaveAbandoned(): Promise<void> {
    await this.#leave(sql`gateway is not null and not ${holderIsAlive}`, true);
  }

  async #leave(which: SQL, isUnread: boolean): Promise<void> {
    await this.#orm.execute(sql`
      with gone as (
        update held_sources as held set gateway = null where note is null and ${which} returning run_id)
      update runs set is_unread = ${isUnread} from gone where runs.id = gone.run_id and ${isOpen}`);
  }

  /** Those of these runs that wait. */
  async waiting(runIds: readonly string[]): Promise<ReadonlySet<string>> {
    return await this.#inState(runIds, sql`state = 'pending'`);
  }

  async forget({ runId, input }: SourceKey): Promise<void> {
    await this.#orm
      .delete(heldSources)
      .where(and(eq(heldSources.runId, runId), eq(heldSources.input, input)));
  }

  #isOurs(runId: string, input: string): SQL | undefined {
    return and(
      eq(heldSources.runId, runId),
      eq(heldSources.input, input),
      eq(heldSources.gateway, this.#gateway),
    );
  }

  async #inState(runIds: readonly string[], isIn: SQL): Promise<ReadonlySet<string>> {
    if (runIds.length === 0) return new Set();
    const found = await this.#orm
      .select({ id: runs.id })
      .from(runs)
      .where(and(inArray(runs.id, [...runIds]), isIn));
    return new Set(found.map(({ id }) => id));
  }
}
