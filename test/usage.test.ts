import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, beforeEach, describe, it } from 'node:test';
import type { Claim } from '../src/core/attempt.ts';
import type { TaskState } from '../src/core/task.ts';
import type { Database } from '../src/db/connect.ts';
import { sql } from '../src/db/drizzle.ts';
import { rowsOf } from '../src/db/rows.ts';
import { AttemptNews } from '../src/tasks/attempt-news.ts';
import { AttemptStore } from '../src/tasks/attempt-store.ts';
import { Door } from '../src/tasks/door.ts';
import { ResultStore } from '../src/tasks/result-store.ts';
import { type UsageFigures, UsageStore } from '../src/tasks/usage-store.ts';
import { GatewayClient } from './support/gateway-client.ts';
import { Scene, Supplies, untilTrue } from './support/pool-scene.ts';
import { backend, failure, GatewayStores, newTask, output, owner } from './support/task-stores.ts';
import {
  connectTestDatabase,
  createTestDatabase,
  engines,
  type TestDatabase,
} from './support/test-database.ts';

const nothing: UsageFigures = {
  ...{ submitted: 0, completed: 0, failed: 0, canceled: 0 },
  ...{ gpuMs: 0, sourceBytes: 0, storedBytes: 0 },
};
const again = { afterMs: 0, avoid: [], counts: true };

for (const engine of engines) {
  describe(`usage on ${engine}`, () => {
    let scratch: TestDatabase;
    let database: Database;
    let stores: GatewayStores;
    let usage: UsageStore;

    before(async () => {
      scratch = await createTestDatabase(engine);
      database = await connectTestDatabase(scratch.options);
      usage = new UsageStore(database.orm);
    });
    beforeEach(async () => {
      await database.orm.execute(sql`delete from tasks`);
      await database.orm.execute(sql`delete from usage`);
      await database.orm.execute(sql`delete from tenant_totals`);
      stores = new GatewayStores(database);
    });
    after(async () => {
      await database[Symbol.asyncDispose]();
      await scratch[Symbol.asyncDispose]();
    });

    const insert = async (tenant = 'a') => (await stores.tasks.insert(newTask({ tenant }))).id;

    /** A task of the tenant's that is worked on, its prompt on a GPU since so long. */
    async function running(sinceMs: number, tenant = 'a'): Promise<Claim> {
      const claim = await stores.claim(await insert(tenant), backend);
      const news = new AttemptNews();
      news.prompt = { promptId: randomUUID(), backend, input: null, sourceBytes: 7 };
      news.postedAt = performance.now() - sinceMs;
      await stores.attempts.record(claim, news);
      return claim;
    }

    async function today(tenant: string): Promise<UsageFigures> {
      const day = new Date().toISOString().slice(0, 10);
      const [row] = await usage.rows({ from: day, to: day, tenant, by: ['tenant'] });
      if (!row) return nothing;
      const { day: _, tenant: __, workflow: ___, ...figures } = row;
      return figures;
    }

    /** Of the tenant, today; GPU time that nobody took is known to ten minutes. */
    async function used(tenant = 'a'): Promise<UsageFigures> {
      const { gpuMs, ...others } = await today(tenant);
      return { ...others, gpuMs: gpuMs - (gpuMs % 600_000) };
    }

    it('counts what became of tasks, and no other moves', async () => {
      const ids = [await insert(), await insert(), await insert(), await insert()] as const;
      assert.deepEqual(await used(), { ...nothing, submitted: 4 });
      const undone = await stores.claim(ids[0], backend);
      await stores.attempts.handBack(undone, false);
      await stores.attempts.fail(await stores.claim(ids[0], backend), failure);
      await stores.complete(await stores.claim(ids[1], backend), [output]);
      await stores.tasks.cancel(ids[2], owner);
      await database.orm.execute(sql`update runs set queue_deadline = now() - interval '1 s'`);
      await stores.claims.expireQueued();
      const expected = { ...nothing, submitted: 4, completed: 1, failed: 2, canceled: 1 };
      assert.deepEqual(await used(), { ...expected, storedBytes: output.size });
      assert.deepEqual(await used('b'), nothing);
    });

    const ends: Record<string, { state: TaskState; end: (claim: Claim) => Promise<unknown> }> = {
      'it failed': { state: 'failed', end: (claim) => stores.attempts.fail(claim, failure) },
      'it is tried again': {
        state: 'pending',
        end: (claim) => stores.attempts.retry(claim, failure, again),
      },
      'its client canceled it': {
        state: 'canceled',
        end: ({ task }) => stores.tasks.cancel(task.id, owner),
      },
    };
    for (const [why, { state, end }] of Object.entries(ends)) {
      it(`has the GPU time of an attempt that nobody took, where ${why}`, async () => {
        const claim = await running(610_000);
        await end(claim);
        assert.equal((await stores.tasks.find(claim.task.id, owner))?.state, state);
        const { gpuMs, sourceBytes } = await used();
        assert.deepEqual([gpuMs, sourceBytes], [600_000, 7]);
      });
    }

    it('has the time that was taken, once, whether it was written down before or not', async () => {
      const news = new AttemptNews();
      news.gpu = { ms: 1_234.4, isTypical: true };
      const early = await running(50_000);
      await stores.attempts.record(early, news);
      await stores.complete(early, [output]);
      assert.equal((await today('a')).gpuMs, 1_234);
      const late = await running(50_000);
      await stores.attempts.complete(late, new Map([[late.task.id, [output]]]), {}, news);
      assert.equal((await today('a')).gpuMs, 2 * 1_234);
    });

    // PGlite has one connection, on which nobody waits for another.
    if (engine === 'postgres') {
      it('has the time that is being written down while its client cancels it', async () => {
        const claim = await running(50_000);
        const news = new AttemptNews();
        news.gpu = { ms: 70_000, isTypical: true };
        const canceled = Promise.withResolvers<unknown>();
        await database.orm.transaction(async (tx) => {
          await new AttemptStore(new Door(tx, stores.door.gateway)).record(claim, news);
          canceled.resolve(stores.tasks.cancel(claim.task.id, owner));
          await untilTrue(async () => {
            const waiting = await database.orm.execute(sql`
              select from pg_stat_activity
               where datname = current_database() and wait_event_type = 'Lock'`);
            return rowsOf(waiting).length > 0;
          });
        });
        await canceled.promise;
        const { gpuMs, canceled: tasks } = await today('a');
        assert.deepEqual([gpuMs, tasks], [70_000, 1]);
      });
    }

    it('has it as long as a gateway saw to the prompt, where that died', async () => {
      const claim = await running(1_000_000);
      await database.orm.execute(sql`
        update runs set lease_until = now() - interval '390 s' where id = ${claim.run.id}`);
      await stores.claims.requeueAbandoned(60_000);
      assert.deepEqual(await used(), { ...nothing, submitted: 1, sourceBytes: 7, gpuMs: 600_000 });
    });

    it('has the time of a shared run once', async () => {
      const leader = await running(610_000);
      await stores.twins.seek(leader, 'f');
      const other = await stores.claim(await insert(), backend);
      assert.equal((await stores.twins.seek(other, 'f')).kind, 'joined');
      const results = new Map([leader, other].map(({ task }) => [task.id, [output]]));
      await stores.attempts.complete(leader, results);
      const expected = { ...nothing, submitted: 2, completed: 2, gpuMs: 600_000, sourceBytes: 7 };
      assert.deepEqual(await used(), { ...expected, storedBytes: 2 * output.size });
    });

    it('tells what is stored at present, until it is removed or deleted', async () => {
      const results = new ResultStore(database);
      const ids: string[] = [];
      for (const tenant of ['a', 'a', 'b']) {
        const claim = await stores.claim(await insert(tenant), backend);
        await stores.complete(claim, [output]);
        ids.push(claim.task.id);
      }
      const { size } = output;
      const ofA = { tenant: 'a', bytes: 2 * size };
      assert.deepEqual([...(await usage.stored(null))], [ofA, { tenant: 'b', bytes: size }]);
      for (const _ of [1, 2]) await results.recordRemoved(ids.slice(0, 1));
      assert.deepEqual([...(await usage.stored('a'))], [{ tenant: 'a', bytes: size }]);
      await database.orm.execute(sql`delete from tasks`);
      assert.deepEqual([...(await usage.stored(null))], []);
      assert.equal((await used()).storedBytes, 2 * size);
    });

    it('adds up by day, tenant and workflow, in their order', async () => {
      await database.orm.execute(sql`
        insert into usage (day, tenant, workflow, shard, submitted, gpu_ms)
        select day::date, tenant, workflow, shard, 1, 10
          from unnest(array['2026-07-31', '2026-08-01', '2026-08-02']) as day,
               unnest(array['b', 'a']) as tenant, unnest(array['w', 'v']) as workflow,
               unnest(array[0, 1]) as shard`);
      const told = async (
        by: readonly ('day' | 'tenant' | 'workflow')[],
        tenant: string | null,
      ) => {
        const rows = await usage.rows({ from: '2026-08-01', to: '2026-08-02', tenant, by });
        return rows.map((row) => [row.day, row.tenant, row.workflow, row.submitted, row.gpuMs]);
      };
      assert.deepEqual(await told(['day'], null), [
        ['2026-08-01', null, null, 8, 80],
        ['2026-08-02', null, null, 8, 80],
      ]);
      assert.deepEqual(await told(['tenant', 'workflow'], 'a'), [
        [null, 'a', 'v', 4, 40],
        [null, 'a', 'w', 4, 40],
      ]);
    });
  });
}

describe('GET /usage', () => {
  const cleanup = new AsyncDisposableStack();
  let url: string;
  let source: string;
  const as = (who: string) => new GatewayClient(url, `${who}-secret-0123456789`);

  before(async () => {
    const supplies = cleanup.use(await Supplies.open());
    const scene = cleanup.use(new Scene(supplies));
    const keys = {
      API_KEYS: ['alice', 'bob'].map((name) => `${name}:${name}-secret-0123456789`).join(','),
      OPERATOR_KEYS: 'ops:ops-secret-0123456789',
    };
    const emulator = await scene.emulator();
    ({ url } = await scene.gateway([], { env: { ...keys, COMFYUI_BACKENDS: emulator.url } }));
    source = supplies.url;
  });
  after(() => cleanup.disposeAsync());

  const read = async (who: string, query = '') => await as(who).call('GET', `/usage${query}`);
  const csv = async (query: string, headers: Record<string, string> = {}) =>
    await fetch(`${url}/usage${query}`, {
      headers: { 'x-api-key': 'ops-secret-0123456789', ...headers },
    });

  it('tells a client what it had, and operators what all had', async () => {
    const done = await as('alice').submit({ url: source, workflow: 'sleep' });
    assert.equal((await as('alice').until(done)).status, 'completed');
    const running = await as('bob').submit({ url: source, workflow: 'long' });
    await as('bob').until(running, ({ stages }) =>
      stages.some(({ name, status }) => name === 'process' && status === 'running'),
    );
    assert.equal((await as('bob').call('DELETE', `/tasks/${running}`)).status, 200);

    const day = new Date().toISOString().slice(0, 10);
    const mine = await read('alice');
    assert.equal(mine.status, 200, JSON.stringify(mine.body));
    const [row, ...others] = mine.body.usage;
    assert.deepEqual(others, []);
    const { gpu_seconds, source_bytes, stored_bytes, ...counted } = row;
    const counts = { submitted: 1, completed: 1, failed: 0, canceled: 0 };
    assert.deepEqual(counted, { day, tenant: 'alice', ...counts });
    assert.ok(gpu_seconds >= 0.1 && gpu_seconds < 60, `${gpu_seconds}`);
    assert.ok(source_bytes > 0 && stored_bytes > 0, JSON.stringify(row));
    assert.deepEqual(mine.body.stored, [{ tenant: 'alice', bytes: stored_bytes }]);
    assert.equal(mine.body.to, day);

    const all = (await read('ops', '?by=tenant,workflow')).body.usage;
    assert.deepEqual(
      all.map((each: typeof row) => [each.tenant, each.workflow, each.completed, each.canceled]),
      [
        ['alice', 'sleep', 1, 0],
        ['bob', 'long', 0, 1],
      ],
    );
    assert.ok(all[1].gpu_seconds > 0, 'what is canceled had a GPU');
    assert.deepEqual((await read('ops', `?tenant=bob&by=tenant`)).body.stored, []);
  });

  it('is CSV for whoever wants that', async () => {
    await untilTrue(async () => (await read('ops')).body.usage.length > 0);
    for (const answer of [
      await csv('?by=tenant&format=csv'),
      await csv('?by=tenant', { accept: 'text/csv' }),
    ]) {
      assert.equal(answer.headers.get('content-type'), 'text/csv; charset=utf-8');
      assert.match(answer.headers.get('content-disposition') ?? '', /filename="usage\.csv"/);
      const [header, first] = (await answer.text()).split('\r\n');
      const names = 'submitted,completed,failed,canceled,gpu_seconds,source_bytes,stored_bytes';
      assert.equal(header, `tenant,${names}`);
      assert.match(first ?? '', /^alice,1,1,0,0,[\d.]+,\d+,\d+$/);
    }
    const inJson = await csv('?format=json', { accept: 'text/csv' });
    assert.equal(inJson.headers.get('content-type'), 'application/json');
  });

  it("tells no client of others, whether they are there or not, and refuses what isn't a question", async () => {
    for (const other of ['ops', 'alice', 'nobody']) {
      const { status, body } = await read('bob', `?tenant=${encodeURIComponent(other)}`);
      assert.deepEqual([status, body.code], [403, 'forbidden']);
    }
    assert.equal((await read('bob', '?tenant=bob')).status, 200);
    for (const [query, field] of [
      ['from=2026-13-01', 'from'],
      ['to=yesterday', 'to'],
      ['from=2026-08-02&to=2026-08-01', 'from'],
      ['from=2025-01-01&to=2026-08-01', 'from'],
      ['by=hour', 'by'],
      ['by=', 'by'],
      ['by=day&by=tenant', 'by'],
      ['format=xml', 'format'],
    ]) {
      const { status, body } = await read('ops', `?${query}`);
      assert.deepEqual([status, body.field], [400, field], query);
    }
  });
});
