import { recordStep } from '../audit/record-step.ts';
import { isScope, type Scope } from '../core/caller.ts';
import type { KeyGrant, KeyView } from '../core/key.ts';
import type { OperatorAct, OperatorEventKind } from '../core/operator-event.ts';
import type { Orm } from '../db/connect.ts';
import { and, eq, inArray, isNull, type PgUpdateSetSource, type SQL, sql } from '../db/drizzle.ts';
import { noticeToAll } from '../db/notices.ts';
import { rowsOf } from '../db/rows.ts';
import { apiKeys } from '../db/schema.ts';
import { jsonReader, withParts } from '../db/statement.ts';

/** What a request's key is compared with. */
export interface StoredKey {
  readonly id: string;
  readonly tenant: string;
  readonly name: string;
  readonly digest: string;
  /** Of the key before the last rotation, and until when it is good; milliseconds since 1970. */
  readonly formerDigest: string | null;
  readonly formerUntilMs: number | null;
  readonly scopes: readonly Scope[];
  readonly expiresMs: number | null;
}

export interface KeyTable {
  /** Another one tells that a key has changed. */
  readonly stamp: string;
  /** Whether there has ever been a key. */
  readonly hasKeys: boolean;
  /** By their ids, those that are not revoked. */
  readonly keys: ReadonlyMap<string, StoredKey>;
}

/** What is kept of a key's text. */
export interface KeyIdentity {
  readonly id: string;
  readonly digest: string;
}

/** A change and its record. */
export interface ChangedKey {
  readonly view: KeyView;
  readonly act: OperatorAct;
}

const view = {
  id: apiKeys.id,
  name: apiKeys.name,
  tenant: apiKeys.tenant,
  scopes: apiKeys.scopes,
  expiresAt: apiKeys.expiresAt,
  createdAt: apiKeys.createdAt,
  lastUsedAt: apiKeys.lastUsedAt,
};

/** No key has ever been. */
const stampOfNone = '0';

const readRow = jsonReader(apiKeys);
const isLive = isNull(apiKeys.revokedAt);

/** The keys that are made while gateways run. Each change is committed with its record and a notice to all gateways. */
export class KeyStore {
  readonly #orm: Orm;
  readonly #gateway: string;

  constructor(orm: Orm, gateway: string) {
    this.#orm = orm;
    this.#gateway = gateway;
  }

  /** Those that are not revoked, the oldest first. */
  async list(): Promise<KeyView[]> {
    return await this.#orm.select(view).from(apiKeys).where(isLive).orderBy(apiKeys.createdAt);
  }

  /** `null` when another key has the name. */
  async add(actor: string, made: KeyIdentity, grant: KeyGrant): Promise<ChangedKey | null> {
    const { id, digest } = made;
    const insert = this.#orm.insert(apiKeys).values({ id, digest, ...grant });
    const change = insert.onConflictDoNothing().returning(view).getSQL();
    return await this.#change({ actor, kind: 'key_created', subject: id }, change);
  }

  /** Gives a key another digest; that of before goes on for so long. `null` when there is no such key. */
  async rotate(actor: string, made: KeyIdentity, graceMs: number): Promise<ChangedKey | null> {
    const { id, digest } = made;
    return await this.#update(actor, 'key_rotated', id, {
      digest,
      formerDigest: sql`${apiKeys.digest}`,
      formerUntil: sql`now() + ${graceMs} * interval '1 ms'`,
    });
  }

  /** `null` when there is no such key. */
  async revoke(actor: string, id: string): Promise<ChangedKey | null> {
    return await this.#update(actor, 'key_revoked', id, { revokedAt: sql`now()` });
  }

  /** All keys; `null` when none has changed since that stamp. */
  async read(stamp: string): Promise<KeyTable | null> {
    const result = await this.#orm.execute(sql`
      select told.stamp, k.id, k.tenant, k.name, k.digest, k.scopes,
             k.former_digest as "formerDigest", ${ms('former_until')} as "formerUntilMs",
             ${ms('expires_at')} as "expiresMs"
        from (select concat_ws('.', count(*), sum(edition), max(created_at)) as stamp
                from api_keys) as told
        left join api_keys k on told.stamp <> ${stamp} and k.revoked_at is null`);
    const rows = rowsOf<{ readonly stamp: string } & (StoredKey | { readonly id: null })>(result);
    const now = rows[0]?.stamp ?? stamp;
    if (now === stamp) return null;
    const keys = rows.flatMap((row) => {
      // A newer gateway may know scopes that this one does not.
      return row.id === null ? [] : [{ ...row, scopes: row.scopes.filter(isScope) }];
    });
    return {
      stamp: now,
      hasKeys: now !== stampOfNone,
      keys: new Map(keys.map((key) => [key.id, key])),
    };
  }

  /** These were used by now. */
  async noteUse(ids: readonly string[]): Promise<void> {
    // Gateways that lock the rows in different orders would wait for each other.
    const used = this.#orm
      .select({ id: apiKeys.id })
      .from(apiKeys)
      .where(inArray(apiKeys.id, [...ids]))
      .orderBy(apiKeys.id)
      .for('update');
    await this.#orm
      .update(apiKeys)
      .set({ lastUsedAt: sql`now()` })
      .where(inArray(apiKeys.id, used));
  }

  async #update(
    actor: string,
    kind: OperatorEventKind,
    id: string,
    set: PgUpdateSetSource<typeof apiKeys>,
  ): Promise<ChangedKey | null> {
    const change = this.#orm
      .update(apiKeys)
      .set({ ...set, edition: sql`${apiKeys.edition} + 1` })
      .where(and(eq(apiKeys.id, id), isLive))
      .returning(view)
      .getSQL();
    return await this.#change({ actor, kind, subject: id }, change);
  }

  /** Makes a change of one key, and records and tells it in the same statement. */
  async #change(act: Omit<OperatorAct, 'body'>, change: SQL): Promise<ChangedKey | null> {
    const body = sql`jsonb_build_object(
      'name', changed.name, 'tenant', changed.tenant, 'scopes', changed.scopes)`;
    const recorded = recordStep({ ...act, gateway: this.#gateway, body }, sql`changed`);
    const result = await this.#orm.execute(sql`
      ${withParts({ changed: change, recorded })}
      select to_jsonb(changed) as changed, ${noticeToAll('keys')} as told from changed`);
    const [row] = rowsOf<{ readonly changed: Readonly<Record<string, unknown>> }>(result);
    if (!row) return null;
    const { id, name, tenant, scopes, createdAt, expiresAt, lastUsedAt } = readRow(row.changed);
    const grant = { name, tenant, scopes };
    return {
      view: { id, ...grant, createdAt, expiresAt, lastUsedAt },
      act: { ...act, body: grant },
    };
  }
}

/** An instant as milliseconds since 1970. */
function ms(column: string): SQL {
  return sql.raw(`(extract(epoch from k.${column}) * 1000)::float8`);
}
