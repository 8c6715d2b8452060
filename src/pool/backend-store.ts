import { type ActInStatement, recordStep } from '../audit/record-step.ts';
import type { BackendReport, WantedState } from '../core/backend.ts';
import type { OperatorAct, OperatorEventKind } from '../core/operator-event.ts';
import { asJsonb } from '../db/columns.ts';
import type { Orm } from '../db/connect.ts';
import { and, eq, gt, inArray, isNull, lt, ne, or, type SQL, sql } from '../db/drizzle.ts';
import { notifyPool } from '../db/notices.ts';
import { backends, gateways } from '../db/schema.ts';

export interface BackendStoreOptions {
  /** This gateway's id, new at every start. */
  readonly owner: string;
  /** How long a lease holds without being renewed, by the database's clock. */
  readonly leaseMs: number;
  /** A backend that is in nobody's settings any more is forgotten after this time. */
  readonly forgottenAfterMs: number;
}

/** A backend as the gateways share it. */
export interface BackendRecord {
  readonly label: string;
  /** With credentials; `null` for one that stands in the settings. */
  readonly url: string | null;
  /** Its `input` folder as gateways see it, of one that was added at run time. */
  readonly inputDir: string | null;
  readonly wanted: WantedState;
  /** The gateway that drives it; `null` when none does. */
  readonly owner: string | null;
  readonly report: BackendReport | null;
}

/** What one renewal finds. */
export interface Renewal {
  /** The gateways that are alive, this one among them. */
  readonly gateways: readonly string[];
  readonly backends: readonly BackendRecord[];
}

/**
 * Which backends there are, what operators want of them, and which gateway drives which. A lease is
 * taken, renewed and given up here; all instants are the database's.
 */
export class BackendStore {
  readonly #orm: Orm;
  readonly #owner: string;
  readonly #lease;
  readonly #present;
  readonly #forgottenBefore;

  constructor(orm: Orm, { owner, leaseMs, forgottenAfterMs }: BackendStoreOptions) {
    this.#orm = orm;
    this.#owner = owner;
    this.#lease = sql`now() + ${leaseMs} * interval '1 ms'`;
    this.#present = sql`now() + ${leaseMs / 2} * interval '1 ms'`;
    this.#forgottenBefore = sql`now() - ${forgottenAfterMs} * interval '1 ms'`;
  }

  /**
   * Renews this gateway's lease and those of its backends, makes `labels` known, and tells how
   * everything stands.
   */
  async renew(labels: readonly string[]): Promise<Renewal> {
    const owner = this.#owner;
    const leaseUntil = this.#lease;
    return await this.#orm.transaction(async (tx) => {
      const isOurs = eq(backends.owner, owner);
      await lock(tx, labels.length > 0 ? or(isOurs, inArray(backends.label, [...labels])) : isOurs);
      await tx
        .insert(gateways)
        .values({ id: owner, leaseUntil })
        .onConflictDoUpdate({ target: gateways.id, set: { leaseUntil } });
      await tx
        .update(backends)
        .set({ leaseUntil })
        .where(and(isOurs, gt(backends.leaseUntil, sql`now()`)));
      if (labels.length > 0) {
        await tx
          .insert(backends)
          // In the order of `lock`, for those that are new.
          .values(labels.toSorted().map((label) => ({ label })))
          .onConflictDoUpdate({ target: backends.label, set: { knownAt: sql`now()` } });
      }
      // One that has not renewed for half a lease is as good as dead: what others leave for it would
      // lie idle.
      const alive = await tx
        .select({ id: gateways.id })
        .from(gateways)
        .where(gt(gateways.leaseUntil, this.#present));
      return { gateways: alive.map(({ id }) => id), backends: await list(tx) };
    });
  }

  /** Lets other gateways know of this one. */
  async announce(): Promise<void> {
    await notifyPool(this.#orm);
  }

  /** Takes leases of backends that none drives; returns the labels of those that it got. */
  async take(labels: readonly string[]): Promise<string[]> {
    if (labels.length === 0) return [];
    return await this.#orm.transaction(async (tx) => {
      const taken = await lock(tx, and(inArray(backends.label, [...labels]), isFree));
      if (taken.length === 0) return [];
      await tx
        .update(backends)
        .set({
          owner: this.#owner,
          generation: sql`${backends.generation} + 1`,
          leaseUntil: this.#lease,
        })
        .where(inArray(backends.label, taken));
      return taken;
    });
  }

  /** Lets another gateway drive the backend. */
  async giveUp(label: string): Promise<void> {
    await this.#orm
      .update(backends)
      .set({ owner: null, leaseUntil: null })
      .where(this.#isOurs(label));
    await notifyPool(this.#orm);
  }

  /** What there is to tell about backends that are ours; of others nothing is written. One statement, however many. */
  async report(reports: ReadonlyMap<string, BackendReport>): Promise<void> {
    if (reports.size === 0) return;
    const rows = [...reports].map(([label, report]) => ({ label, report }));
    await this.#orm.execute(sql`
      with held as (
        select backends.label, news.report
          from backends join jsonb_to_recordset(${asJsonb(rows)}) as news (label text, report jsonb)
            on news.label = backends.label
         where backends.owner = ${this.#owner}::uuid
         order by backends.label for update of backends)
      update backends set report = held.report from held where backends.label = held.label`);
  }

  async list(): Promise<BackendRecord[]> {
    return await list(this.#orm);
  }

  /** Adds a backend for all gateways, on record; `null` when there is one of this label. */
  async add(
    actor: string,
    label: string,
    url: string,
    inputDir: string | null = null,
  ): Promise<OperatorAct | null> {
    const act: OperatorAct = { actor, kind: 'backend_added', subject: label, body: {} };
    const added = this.#orm.$with('added').as(
      this.#orm
        .insert(backends)
        .values({ label, url, inputDir })
        .onConflictDoUpdate({
          target: backends.label,
          set: { url, inputDir, wanted: 'active' },
          // One that is on its way out may come back.
          setWhere: eq(backends.wanted, 'removed'),
        })
        .returning({ label: backends.label }),
    );
    const recorded = this.#recorded({ ...act, body: asJsonb(act.body) }, sql`added`);
    const rows = await this.#orm.with(added, recorded).select().from(added);
    await notifyPool(this.#orm);
    return rows.length > 0 ? act : null;
  }

  /**
   * Sets what operators want of it, on record. `null` when that was wanted before, or there is none of this
   * label.
   */
  async want(actor: string, label: string, wanted: WantedState): Promise<OperatorAct | null> {
    const act = { actor, kind: kindOf[wanted], subject: label };
    const found = this.#orm.$with('found').as(
      this.#orm
        .select({ label: backends.label, wanted: backends.wanted })
        .from(backends)
        .where(and(eq(backends.label, label), ne(backends.wanted, wanted)))
        .for('update'),
    );
    const changed = this.#orm.$with('changed').as(
      this.#orm
        .update(backends)
        .set({ wanted })
        .from(found)
        .where(eq(backends.label, found.label))
        .returning({ before: sql<WantedState>`found.wanted`.as('before') }),
    );
    const body = sql`jsonb_build_object('before', changed.before)`;
    const recorded = this.#recorded({ ...act, body }, sql`changed`);
    const [row] = await this.#orm
      .with(found, changed, recorded)
      .select({ before: changed.before })
      .from(changed);
    await notifyPool(this.#orm);
    return row ? { ...act, body: { before: row.before } } : null;
  }

  /** Forgets backends that were to be removed and that none drives, or that stand in no settings now. */
  async forget(): Promise<void> {
    const isGone = and(isNull(backends.url), lt(backends.knownAt, this.#forgottenBefore));
    const isForgotten = and(or(eq(backends.wanted, 'removed'), isGone), isFree);
    await this.#orm.transaction(async (tx) => {
      const labels = await lock(tx, isForgotten);
      if (labels.length > 0) await tx.delete(backends).where(inArray(backends.label, labels));
    });
    await this.#orm.delete(gateways).where(lt(gateways.leaseUntil, sql`now() - interval '1 day'`));
  }

  /** Gives up every lease of this gateway. */
  async leave(): Promise<void> {
    const isOurs = eq(backends.owner, this.#owner);
    await this.#orm.transaction(async (tx) => {
      await lock(tx, isOurs);
      await tx.update(backends).set({ owner: null, leaseUntil: null }).where(isOurs);
    });
    await this.#orm.delete(gateways).where(eq(gateways.id, this.#owner));
    await notifyPool(this.#orm);
  }

  /** Ends the leases of all others: for an engine that only one gateway can have open. */
  async expireOthers(): Promise<void> {
    await this.#orm.update(backends).set({ owner: null, leaseUntil: null });
    await this.#orm.delete(gateways);
  }

  #recorded(act: Omit<ActInStatement, 'gateway'>, from: SQL) {
    const step = recordStep({ ...act, gateway: this.#owner }, from);
    return this.#orm.$with('recorded', {}).as(step);
  }

  #isOurs(label: string) {
    return and(eq(backends.label, label), eq(backends.owner, this.#owner));
  }
}

const kindOf: Readonly<Record<WantedState, OperatorEventKind>> = {
  active: 'backend_resumed',
  draining: 'backend_drained',
  removed: 'backend_removed',
};

const isFree = or(isNull(backends.owner), lt(backends.leaseUntil, sql`now()`));

/**
 * Locks the rows of a transaction that changes several, in the order of their labels, and returns these.
 * Gateways that lock them in different orders wait for each other, and Postgres ends one of the two.
 */
async function lock(tx: Orm, condition: SQL | undefined): Promise<string[]> {
  const rows = await tx
    .select({ label: backends.label })
    .from(backends)
    .where(condition)
    .orderBy(backends.label)
    .for('update');
  return rows.map(({ label }) => label);
}

async function list(orm: Orm): Promise<BackendRecord[]> {
  return await orm
    .select({
      label: backends.label,
      url: backends.url,
      inputDir: backends.inputDir,
      wanted: backends.wanted,
      owner: sql<
        string | null
      >`case when ${backends.leaseUntil} > now() then ${backends.owner} end`,
      report: backends.report,
    })
    .from(backends)
    .orderBy(backends.label);
}
