import type { Orm } from '../db/connect.ts';
import { sql } from '../db/drizzle.ts';
import { inRounds } from '../db/in-rounds.ts';
import { rowsOf } from '../db/rows.ts';
import { shard } from './move-steps.ts';

/** Each takes its run, stages, attempts and events along. */
const removedAtOnce = 200;

/** The records of tasks, and when they go. */
export class RecordStore {
  readonly #orm: Orm;

  constructor(orm: Orm) {
    this.#orm = orm;
  }

  /**
   * Removes tasks that ended longer ago and have nothing in the store, with all that is known of them; returns how
   * many. They stay in the counts: the trigger for those who delete by hand takes them out, and this puts them in
   * again, in the same statement.
   */
  async removeOld(ms: number): Promise<number> {
    return await inRounds(removedAtOnce, async () => {
      const result = await this.#orm.execute(sql`
        with old as (
          select id from tasks
           where finished_at < now() - ${ms} * interval '1 ms' and (outputs is null or removed_at is not null)
           order by finished_at limit ${removedAtOnce} for update skip locked),
        gone as (
          delete from tasks using old where tasks.id = old.id
          returning tasks.workflow, tasks.state, tasks.tenant),
        counted as (
          insert into task_counts as c (workflow, state, shard, count)
          select workflow, state, ${shard}, count(*) from gone group by workflow, state order by workflow, state
          on conflict (workflow, state, shard) do update set count = c.count + excluded.count),
        counted_of_tenants as (
          insert into ended_counts as c (tenant, workflow, state, shard, count)
          select tenant, workflow, state, ${shard}, count(*) from gone where tenant <> ''
           group by tenant, workflow, state order by tenant, workflow, state
          on conflict (tenant, workflow, state, shard) do update set count = c.count + excluded.count)
        select count(*)::int as count from gone`);
      return rowsOf<{ count: number }>(result)[0]?.count ?? 0;
    });
  }
}
