import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, beforeEach, describe, it } from 'node:test';
import type { Database } from '../src/db/connect.ts';
import { sql } from '../src/db/drizzle.ts';
import { HeldSourceStore } from '../src/tasks/held-source-store.ts';
import { backend, failure, GatewayStores, newTask, owner } from './support/task-stores.ts';
import {
  connectTestDatabase,
  createTestDatabase,
  engines,
  type TestDatabase,
} from './support/test-database.ts';

const info = { kind: 'image', format: 'png', width: 1, height: 1 } as const;
const note = { bytes: 5, sha256: null, info };
const input = 'image';

for (const engine of engines) {
  describe(`held sources on ${engine}`, () => {
    let scratch: TestDatabase;
    let database: Database;
    let at: GatewayStores;
    let here: HeldSourceStore;
    let there: HeldSourceStore;
    let elsewhere: string;

    before(async () => {
      scratch = await createTestDatabase(engine);
      database = await connectTestDatabase(scratch.options);
    });
    beforeEach(async () => {
      for (const table of ['tasks', 'runs', 'held_sources', 'gateways']) {
        await database.orm.execute(sql`delete from ${sql.identifier(table)}`);
      }
      at = new GatewayStores(database);
      here = new HeldSourceStore(database.orm, at.door.gateway);
      elsewhere = randomUUID();
      there = new HeldSourceStore(database.orm, elsewhere);
      for (const id of [at.door.gateway, elsewhere]) await live(id, 60_000);
    });
    after(async () => {
      await database[Symbol.asyncDispose]();
      await scratch[Symbol.asyncDispose]();
    });

    async function live(id: string, ms: number): Promise<void> {
      await database.orm.execute(sql`
        insert into gateways (id, lease_until) values (${id}, now() + ${ms} * interval '1 ms')
        on conflict (id) do update set lease_until = excluded.lease_until`);
    }

    async function submit(name: string, tenant = 'one', url = `https://example.com/${name}`) {
      const { id } = await at.tasks.insert(newTask({ sources: [{ input, url }], tenant }));
      return { taskId: id, runId: await at.runOf(id) };
    }

    const unread = async (store = here) => (await store.unread(0)).map(({ id }) => id).toSorted();

    it('are unread at the head of each line, those from uploads aside', async () => {
      const heads = [await submit('a'), await submit('b', 'two')];
      await submit('c');
      await submit('d', 'three', `upload:${randomUUID()}`);
      assert.deepEqual(await unread(), heads.map(({ runId }) => runId).toSorted());
      assert.deepEqual(await here.unread(60_000), []);
    });

    it('are read by one gateway, and by the next one when that is no more', async () => {
      const { runId } = await submit('a');
      assert.deepEqual([...(await here.reading(runId, [input]))], [{ input, brokeOff: false }]);
      assert.deepEqual([...(await there.reading(runId, [input]))], []);
      assert.deepEqual(await unread(there), []);
      const key = { runId, input };
      assert.equal((await there.find(key))?.isWithOther, true);
      await here.resting(key, 60_000);
      assert.equal((await there.find(key))?.isWithOther, false);
      assert.deepEqual([...(await here.readingAgain(runId))], [{ input, brokeOff: false }]);
      assert.equal(await here.readingOf(key, false), 'never');
      await there.leaveAbandoned();
      assert.deepEqual(await unread(there), []);
      await live(at.door.gateway, -1);
      await there.leaveAbandoned();
      assert.deepEqual(await unread(there), [runId]);
      assert.equal(await there.readingOf(key, false), 'begun');
      assert.deepEqual([...(await there.reading(runId, [input]))], [{ input, brokeOff: true }]);
      await there.noted(key, note);
      assert.deepEqual(await here.find(key), {
        ...{ note, objectKey: null, isStored: false, isWithOther: true },
      });
      assert.equal(await here.readingOf(key, false), 'whole');
    });

    it('tell who claims the run whether it is worth a look', async () => {
      const [read, fresh] = [await submit('a'), await submit('b')];
      await here.reading(read.runId, [input]);
      assert.equal((await at.claim(read.taskId, backend)).run.isUnread, false);
      assert.equal((await at.claim(fresh.taskId, backend)).run.isUnread, true);
      assert.deepEqual([...(await here.reading(fresh.runId, [input]))], [], 'its attempt reads it');
    });

    it('are not taken for begun where their server let them rest, or broke off', async () => {
      const { runId, taskId } = await submit('a');
      const key = { runId, input };
      await here.reading(runId, [input]);
      await here.resting(key, 60_000);
      await here.breakOff(runId, true);
      assert.deepEqual(await unread(there), [runId]);
      assert.equal(await there.readingOf(key, false), 'never');
      assert.deepEqual([...(await there.reading(runId, [input]))], [{ input, brokeOff: false }]);
      await there.giveUp(runId);
      assert.equal(await there.find(key), null);
      const claim = await at.claim(taskId, backend);
      assert.equal(await there.readingOf(key, true), 'begun');
      const broken = { ...failure, code: 'source_interrupted' } as const;
      await at.attempts.retry(claim, broken, { afterMs: 0, avoid: [], counts: true });
      assert.equal(await there.readingOf(key, true), 'never');
    });

    it('are left by one that stops, and on record as begun', async () => {
      const { runId } = await submit('a');
      await here.reading(runId, [input]);
      await here.breakOff(runId, true);
      assert.equal((await there.find({ runId, input }))?.isWithOther, false);
      assert.equal(await there.readingOf({ runId, input }, false), 'begun');
      assert.deepEqual([...(await there.reading(runId, [input]))], [{ input, brokeOff: true }]);
    });

    it('tell who reads ahead that an attempt may have read them', async () => {
      const [begun] = [await submit('a'), await submit('b', 'two')];
      const claim = await at.claim(begun.taskId, backend);
      await at.attempts.handBack(claim, false);
      const heads = new Map((await here.unread(0)).map(({ id, wasBegun }) => [id, wasBegun]));
      assert.equal(heads.get(begun.runId), true);
      assert.equal(heads.size, 2);
      assert.deepEqual([...heads.values()].toSorted(), [false, true]);
    });

    it('are waited for while a gateway reads them that had told nobody', async () => {
      const { runId } = await submit('a');
      const key = { runId, input };
      await there.reading(runId, [input]);
      await here.announce(key);
      assert.equal((await there.find(key))?.isWithOther, true);
      assert.equal((await here.find(key))?.isWithOther, false);
    });

    it('are stored once, and removed when the run has ended, by whoever is there', async () => {
      const { runId, taskId } = await submit('a');
      const key = { runId, input };
      assert.equal(await there.storing(key, note, 'sources/1'), 'sources/1');
      assert.equal(await here.storing(key, note, 'sources/2'), 'sources/1');
      assert.equal(await here.stored(key), true);
      assert.equal(await there.storing(key, note, 'sources/3'), null);
      assert.equal((await here.ended(null)).length, 0);
      await at.claims.reject(runId, { ...failure, code: 'source_denied', stage: 'download' });
      const task = await at.tasks.find(taskId, owner);
      assert.deepEqual(
        task?.stages.map(({ state }) => state),
        ['failed', 'skipped', 'skipped'],
      );
      assert.deepEqual([...(await here.ended(null))], [{ ...key, objectKey: 'sources/1' }]);
      await here.forget(key);
      assert.equal(await there.storing(key, note, 'sources/4'), null);
      assert.equal(await there.stored(key), false);
    });

    it('are left to another gateway that stores them at this moment', async () => {
      const { runId, taskId } = await submit('a');
      await there.storing({ runId, input }, note, 'sources/1');
      const claim = await at.claim(taskId, backend);
      await at.attempts.fail(claim, failure);
      assert.equal((await here.ended(runId)).length, 0);
      await live(elsewhere, -1);
      assert.equal((await here.ended(runId)).length, 1);
    });
  });
}
