import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { realTempo } from '../src/core/tempo.ts';
import type { Database } from '../src/db/connect.ts';
import { sql } from '../src/db/drizzle.ts';
import { rowsOf } from '../src/db/rows.ts';
import { QueueStats } from '../src/tasks/queue-stats.ts';
import { RecordStore } from '../src/tasks/record-store.ts';
import { backend, failure, GatewayStores, newTask, output, owner } from './support/task-stores.ts';
import { connectTestDatabase, createTestDatabase, engines } from './support/test-database.ts';

const dayMs = 24 * 3_600_000;

for (const engine of engines) {
  describe(`records of tasks, in ${engine}`, () => {
    const cleanup = new AsyncDisposableStack();
    let database: Database;
    let stores: GatewayStores;
    before(async () => {
      const scratch = cleanup.use(await createTestDatabase(engine));
      database = cleanup.use(await connectTestDatabase(scratch.options));
      stores = new GatewayStores(database);
    });
    after(() => cleanup.disposeAsync());

    const begun = async () => {
      const { id } = await stores.tasks.insert(newTask({ tenant: 'alice' }));
      return { id, claim: await stores.claim(id, backend) };
    };
    const counts = async () => {
      const stats = new QueueStats(database.orm, { ...realTempo.tasks, countsHoldMs: 0 });
      return [[...(await stats.counts())], [...(await stats.countsOf('alice'))]];
    };
    const isKnown = async (id: string) => (await stores.tasks.find(id, owner)) !== null;

    it('go with all that is known of the tasks, and are counted all the same', async () => {
      const [stored, removed, failed, open, young] = [
        ...[await begun(), await begun(), await begun(), await begun(), await begun()],
      ] as const;
      await stores.complete(stored.claim, [output]);
      await stores.complete(removed.claim, [output]);
      await stores.attempts.fail(failed.claim, failure);
      await stores.attempts.fail(young.claim, failure);
      await database.orm.execute(sql`
        update tasks set removed_at = now() where id = ${removed.id}::uuid`);
      await database.orm.execute(sql`
        update tasks set created_at = created_at - interval '3 days', finished_at = finished_at - interval '3 days'
         where id <> ${young.id}::uuid`);
      const before = await counts();

      const records = new RecordStore(database.orm);
      assert.equal(await records.removeOld(2 * dayMs), 2);
      assert.equal(await records.removeOld(2 * dayMs), 0);
      const known = [stored, removed, failed, open, young].map(({ id }) => isKnown(id));
      assert.deepEqual(await Promise.all(known), [true, false, false, true, true]);
      assert.deepEqual(await counts(), before);
      for (const table of ['runs', 'attempts']) {
        const [left] = rowsOf<{ count: number }>(
          await database.orm.execute(sql.raw(`select count(*)::int as count from ${table}`)),
        );
        assert.equal(left?.count, 3, table);
      }
      const [events] = rowsOf<{ count: number }>(
        await database.orm.execute(sql`
          select count(*)::int as count from task_events where task_id = ${failed.id}::uuid`),
      );
      assert.equal(events?.count, 0);
    });

    it('go in several rounds where there are many', async () => {
      await database.orm.execute(sql`
        insert into tasks (id, dialect, kind, sources, workflow, arguments, size, params, priority, run_id, state,
                           created_at, finished_at)
        select gen_random_uuid(), 'tmlsr', 'image', '[]', 'w', '{}', '{}', '{}', 5, gen_random_uuid(), 'failed',
               now() - interval '9 days', now() - interval '9 days'
          from generate_series(1, 450)`);
      assert.equal(await new RecordStore(database.orm).removeOld(4 * dayMs), 450);
    });
  });
}
