import type { Quotas, Standing } from '../core/quota.ts';
import type { Orm } from '../db/connect.ts';
import { type SQL, sql } from '../db/drizzle.ts';
import { firstRow, rowsOf } from '../db/rows.ts';
import { tasks } from '../db/schema.ts';

/** How many tasks may wait when one more comes: of its tenant and of all. `null`: any number. */
export interface Room {
  readonly waiting: number | null;
  readonly queue: number | null;
}

/** What tenants have of what is limited. */
export class QuotaStore {
  readonly #orm: Orm;

  constructor(orm: Orm) {
    this.#orm = orm;
  }

  /** Only what has a quota is looked at. */
  async standing(tenant: string, quotas: Quotas): Promise<Standing> {
    const { waiting, storedBytes, uploadBytes, gpuSeconds } = quotas;
    const isTheirs = sql`tenant = ${tenant}`;
    const stored = sql`select sum(stored_bytes) from tenant_totals where ${isTheirs}`;
    const sent = sql`select sum(size) from uploads where ${isTheirs}`;
    const used = sql`
      select sum(gpu_ms) from usage where day = (now() at time zone 'UTC')::date and ${isTheirs}`;
    const result = await this.#orm.execute(sql`
      select ${waiting === null ? sql`0` : waitingOf(tenant, waiting)}::float8 as waiting,
             ${sumOf(storedBytes, stored)} as "storedBytes",
             ${sumOf(uploadBytes, sent)} as "uploadBytes",
             ${sumOf(gpuSeconds, used)} as "gpuMs"`);
    return firstRow(rowsOf<Standing>(result), 'standing');
  }

  /** How many tasks wait, of all tenants. */
  async queue(): Promise<number> {
    const result = await this.#orm.execute(sql`select ${queued}::float8 as count`);
    return firstRow(rowsOf<{ readonly count: number }>(result), 'count').count;
  }
}

/** Whether one more may wait, in the statement that writes it: as it was when the statement began. */
export function hasRoom(tenant: string, { waiting, queue }: Room): SQL {
  const ofTenant = waiting === null ? sql`true` : sql`${waitingOf(tenant, waiting)} < ${waiting}`;
  return queue === null ? ofTenant : sql`${ofTenant} and ${queued} < ${queue}`;
}

const queued = sql`(select coalesce(sum(count), 0) from task_counts where state = 'pending')`;

/**
 * What has not ended, less what is under way, counted no further than the quota: an index has all that the first count
 * asks for, and the second is of few.
 */
function waitingOf(tenant: string, most: number): SQL {
  const isTheirs = sql`tenant = ${sql.param(tenant, tasks.tenant)}`;
  return sql`(
    with under_way as materialized (
      select coalesce(sum(cardinality(task_ids)), 0) as count from runs
       where state = 'processing' and ${isTheirs})
    select count(*) - (select count from under_way) from (
      select from tasks where ${isTheirs} and finished_at is null
       limit ${most} + (select count from under_way)) as open)`;
}

function sumOf(quota: number | null, sum: SQL): SQL {
  return quota === null ? sql`0::float8` : sql`coalesce((${sum}), 0)::float8`;
}
