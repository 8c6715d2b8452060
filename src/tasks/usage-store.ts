import type { Orm } from '../db/connect.ts';
import { type SQL, sql } from '../db/drizzle.ts';
import { rowsOf } from '../db/rows.ts';
import { usage } from '../db/schema.ts';

/** What figures are told of, each by itself or together. */
export const usageKeys = ['day', 'tenant', 'workflow'] as const;
export type UsageKey = (typeof usageKeys)[number];

export interface UsageQuery {
  /** The first and the last day, UTC: `2026-08-01`. */
  readonly from: string;
  readonly to: string;
  /** `null`: of all. */
  readonly tenant: string | null;
  readonly by: readonly UsageKey[];
}

/** What somebody had of the gateway. */
export interface UsageFigures {
  /** Tasks, by what happened to them on these days. */
  readonly submitted: number;
  readonly completed: number;
  readonly failed: number;
  readonly canceled: number;
  /** Of all attempts, whatever became of them, milliseconds. */
  readonly gpuMs: number;
  /** Of the files that went to ComfyUI servers, bytes. */
  readonly sourceBytes: number;
  /** Of the results that came into the store, thumbnails aside, bytes. */
  readonly storedBytes: number;
}

export interface UsageRow extends UsageFigures {
  /** `null` for what the rows are not told by. */
  readonly day: string | null;
  readonly tenant: string | null;
  readonly workflow: string | null;
}

/** What a tenant has in the store at present, thumbnails aside. */
export interface StoredTotal {
  readonly tenant: string;
  readonly bytes: number;
}

const sums = sql.raw(
  [
    ['submitted', 'submitted'],
    ['completed', 'completed'],
    ['failed', 'failed'],
    ['canceled', 'canceled'],
    ['gpu_ms', 'gpuMs'],
    ['source_bytes', 'sourceBytes'],
    ['stored_bytes', 'storedBytes'],
  ]
    .map(([column, name]) => `coalesce(sum(${column}), 0)::float8 as "${name}"`)
    .join(', '),
);

/** What tenants had, and have; the moves keep it (`move-steps.ts`). */
export class UsageStore {
  readonly #orm: Orm;

  constructor(orm: Orm) {
    this.#orm = orm;
  }

  /** In the order of what they are told by; nothing for whom nothing happened. */
  async rows({ from, to, tenant, by }: UsageQuery): Promise<UsageRow[]> {
    const keys = usageKeys.map((key) =>
      sql.raw(by.includes(key) ? `${key}::text as ${key}` : `null::text as ${key}`),
    );
    const grouped = sql.raw(by.map((key) => `usage.${key}`).join(', '));
    const result = await this.#orm.execute(sql`
      select ${sql.join(keys, sql.raw(', '))}, ${sums} from usage
       where day between ${from}::date and ${to}::date and ${isOf(tenant)}
       group by ${grouped} order by ${grouped}`);
    return rowsOf<UsageRow>(result);
  }

  /** At present, of the tenants who have something. */
  async stored(tenant: string | null): Promise<StoredTotal[]> {
    const result = await this.#orm.execute(sql`
      select tenant, sum(stored_bytes)::float8 as bytes from tenant_totals where ${isOf(tenant)}
       group by tenant having sum(stored_bytes) > 0 order by tenant`);
    return rowsOf<StoredTotal>(result);
  }
}

function isOf(tenant: string | null): SQL {
  return tenant === null ? sql`true` : sql`tenant = ${sql.param(tenant, usage.tenant)}`;
}
