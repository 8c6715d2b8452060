import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, beforeEach, describe, it } from 'node:test';
import type { Pause, Paused } from '../src/core/pause.ts';
import type { Database } from '../src/db/connect.ts';
import { sql } from '../src/db/drizzle.ts';
import { PauseStore } from '../src/tasks/pause-store.ts';
import { QueueStats } from '../src/tasks/queue-stats.ts';
import { GatewayClient } from './support/gateway-client.ts';
import { Scene, Supplies, untilTrue } from './support/pool-scene.ts';
import { backend, failure, GatewayStores, newTask } from './support/task-stores.ts';
import {
  connectTestDatabase,
  createTestDatabase,
  engines,
  type TestDatabase,
} from './support/test-database.ts';
import type { TestGateway } from './support/test-gateway.ts';
import { sleepGraph } from './support/test-workflows.ts';

const pool = { kind: 'pool', name: '' } as const;
const terms = { reason: null, until: null };

for (const engine of engines) {
  describe(`pauses on ${engine}`, () => {
    let scratch: TestDatabase;
    let database: Database;
    let stores: GatewayStores;
    let pauses: PauseStore;

    before(async () => {
      scratch = await createTestDatabase(engine);
      database = await connectTestDatabase(scratch.options);
      pauses = new PauseStore(database.orm, randomUUID());
    });
    beforeEach(async () => {
      await database.orm.execute(sql`delete from tasks`);
      await database.orm.execute(sql`delete from pauses`);
      stores = new GatewayStores(database);
    });
    after(async () => {
      await database[Symbol.asyncDispose]();
      await scratch[Symbol.asyncDispose]();
    });

    const insert = async (tenant: string, workflow: string) => {
      const { id } = await stores.tasks.insert(newTask({ tenant, workflow }));
      return await stores.runOf(id);
    };
    const offered = async () => (await stores.claims.heads()).map(({ id }) => id);
    const list = async () =>
      (await pauses.list()).map(({ kind, name, reason, until }) => ({ kind, name, reason, until }));

    for (const { paused, holds } of [
      { paused: pool, holds: ['a v', 'a w', 'b w'] },
      { paused: { kind: 'workflow', name: 'w' }, holds: ['a w', 'b w'] },
      { paused: { kind: 'tenant', name: 'a' }, holds: ['a v', 'a w'] },
      { paused: { kind: 'tenant', name: 'w' }, holds: [] },
    ] satisfies { paused: Paused; holds: string[] }[]) {
      it(`keeps what is paused from being begun, and nothing else: ${paused.kind} ${paused.name}`, async () => {
        const ids = new Map<string, string>();
        for (const [tenant, workflow] of [
          ['a', 'v'],
          ['a', 'w'],
          ['b', 'w'],
        ] as const) {
          ids.set(`${tenant} ${workflow}`, await insert(tenant, workflow));
        }
        assert.ok(await pauses.pause('ops', paused, terms));
        const begun = new Set(await offered());
        for (const [what, id] of ids) {
          const isHeld = holds.includes(what);
          assert.equal(begun.has(id), !isHeld, what);
          // A gateway may have looked before it was paused.
          assert.equal((await stores.claims.claim(id, backend)) === null, isHeld, what);
        }
        assert.ok(await pauses.resume('ops', paused));
        assert.equal((await offered()).length, holds.length);
      });
    }

    it('lets what runs come to its end, and holds what failed before', async () => {
      const id = await insert('a', 'w');
      const claim = await stores.claims.claim(id, backend);
      assert.ok(claim);
      await pauses.pause('ops', pool, terms);
      assert.deepEqual(await stores.claims.renew([id]), new Set([id]));
      await stores.attempts.retry(claim, failure, { afterMs: 0, avoid: [backend], counts: true });
      assert.deepEqual(await offered(), []);
      await pauses.resume('ops', pool);
      assert.deepEqual(await offered(), [id]);
    });

    it('ends by itself', async () => {
      const id = await insert('a', 'w');
      await pauses.pause('ops', pool, { reason: null, until: new Date(Date.now() + 60_000) });
      assert.deepEqual(await offered(), []);
      await database.orm.execute(sql`update pauses set until = now() - interval '1 ms'`);
      assert.deepEqual(await offered(), [id]);
      assert.deepEqual(await list(), []);
      assert.equal(await pauses.resume('ops', pool), null);
    });

    it('counts what no pause holds, whatever it waits for besides', async () => {
      await insert('a', 'w');
      await insert('b', 'w');
      const failed = await insert('b', 'v');
      const waits = await insert('b', 'v');
      for (const [id, afterMs] of [
        [failed, 0],
        [waits, 60_000],
      ] as const) {
        const claim = await stores.claims.claim(id, backend);
        assert.ok(claim);
        await stores.attempts.retry(claim, failure, { afterMs, avoid: [backend], counts: true });
      }
      const stats = new QueueStats(database.orm);
      const unpaused = async () => Object.fromEntries(await stats.unpaused());
      assert.deepEqual(await unpaused(), { w: 2, v: 2 });
      await pauses.pause('ops', { kind: 'tenant', name: 'a' }, terms);
      assert.deepEqual(await unpaused(), { w: 1, v: 2 });
      await pauses.pause('ops', { kind: 'workflow', name: 'w' }, terms);
      assert.deepEqual(await unpaused(), { v: 2 });
      await pauses.pause('ops', pool, terms);
      assert.deepEqual(await unpaused(), {});
    });

    it('is on record with its terms, and once for as long as they stay', async () => {
      const until = new Date(Date.now() + 60_000);
      const first = { reason: 'Drivers', until };
      assert.deepEqual(await pauses.pause('ops', pool, first), {
        ...{ actor: 'ops', kind: 'paused', subject: 'pool' },
        body: { reason: 'Drivers', until: until.toISOString() },
      });
      const [{ since } = {} as Pause] = await pauses.list();
      assert.equal(await pauses.pause('olga', pool, first), null);
      assert.ok(await pauses.pause('olga', pool, { ...first, reason: null }));
      assert.deepEqual(await list(), [{ ...pool, reason: null, until }]);
      assert.deepEqual((await pauses.list())[0]?.since, since);
      assert.equal(await pauses.resume('ops', { kind: 'tenant', name: 'a' }), null);
    });
  });
}

describe('/pauses', () => {
  const cleanup = new AsyncDisposableStack();
  let url: string;
  let database: Database;
  /** It has a backend. */
  let here: TestGateway;
  /** It has none, and the same database. */
  let there: TestGateway;
  const as = (who: string, at = here) => new GatewayClient(at.url, `${who}-secret-0123456789`);

  before(async () => {
    const supplies = cleanup.use(await Supplies.open());
    await supplies.workflows.write('minute', sleepGraph(60, 600));
    const scratch = cleanup.use(await createTestDatabase('postgres'));
    database = cleanup.use(await connectTestDatabase(scratch.options));
    const scene = cleanup.use(new Scene(supplies));
    const keys = (names: string[]) =>
      names.map((name) => `${name}:${name}-secret-0123456789`).join();
    const { url: COMFYUI_BACKENDS } = await scene.emulator();
    const env = { API_KEYS: keys(['alice', 'bob']), OPERATOR_KEYS: keys(['ops']) };
    here = await scene.gateway([], { database: scratch, env: { ...env, COMFYUI_BACKENDS } });
    there = await scene.gateway([], { database: scratch, env });
    url = supplies.url;
  });
  after(() => cleanup.disposeAsync());

  const submit = (who: string) => as(who).submit({ url, workflow: 'sleep' });
  const put = (path: string, terms: object = {}, at = there) =>
    as('ops', at).call('PUT', `/pauses/${path}`, terms);
  const remove = (path: string, at = there) => as('ops', at).call('DELETE', `/pauses/${path}`);

  it('holds at every gateway at once, tells waiting tasks why, and goes on', async () => {
    const until = new Date(Date.now() + 3_600_000).toISOString();
    const running = await as('alice').submit({ url, workflow: 'long' });
    await as('alice').until(running, ({ status }) => status === 'processing');
    assert.deepEqual((await put('pool', { reason: 'Drivers', until })).body, { status: 'paused' });
    const waiting = await submit('alice');
    assert.equal((await as('alice').until(running)).status, 'completed');

    const { status, queue } = await as('alice').task(waiting);
    assert.equal(status, 'pending');
    assert.ok(queue?.paused);
    const { since, ...pause } = queue.paused;
    assert.deepEqual(pause, { kind: 'pool', name: '', reason: 'Drivers', until });
    assert.equal(queue.expected_start, null);
    const { pauses, workflows } = (await as('alice').call('GET', '/monitor/stats')).body;
    assert.deepEqual(pauses, [{ ...pause, since }]);
    assert.ok(workflows.every((each: { expected_wait: null }) => each.expected_wait === null));

    assert.deepEqual((await remove('pool')).body, { status: 'resumed' });
    assert.equal((await as('alice').until(waiting)).status, 'completed');
    assert.equal((await remove('pool')).status, 404);
  });

  it('may be of a tenant, whom others pass, and of whom others are told nothing', async () => {
    assert.equal((await put('tenants/alice', { reason: 'Unpaid' })).status, 200);
    const held = await submit('alice');
    const free = await submit('bob');
    assert.equal((await as('bob').until(free)).status, 'completed');
    const shown = async (who: string) =>
      (await as(who).call('GET', '/monitor/stats')).body.pauses.map(({ name }: Paused) => name);
    assert.deepEqual(
      [await shown('alice'), await shown('bob'), await shown('ops')],
      [['alice'], [], ['alice']],
    );
    assert.equal((await as('alice').task(held)).queue?.paused?.reason, 'Unpaid');
    await remove('tenants/alice', here);
    assert.equal((await as('alice').until(held)).status, 'completed');
  });

  it('is of no workflow that there is not', async () => {
    for (const name of ['sleeep', 'constructor']) {
      const { status, body } = await put(`workflows/${name}`);
      assert.deepEqual([status, body.code], [404, 'not_found']);
    }
    const { body } = await put('workflows/sleeep');
    assert.equal(body.message, 'There is no workflow sleeep; did you mean "sleep"?');
    assert.deepEqual((await as('ops').call('GET', '/pauses')).body.pauses, []);
  });

  it('may be of a workflow, and ends by itself', async () => {
    const until = new Date(Date.now() + 3_600_000).toISOString();
    assert.equal((await put('workflows/sleep', { until })).status, 200);
    const held = await submit('alice');
    assert.equal((await as('alice').task(held)).queue?.paused?.name, 'sleep');
    const { body } = await as('ops').call('GET', '/pauses');
    assert.deepEqual(
      body.pauses.map(({ kind, name }: Paused) => [kind, name]),
      [['workflow', 'sleep']],
    );
    await database.orm.execute(sql`update pauses set until = now() - interval '1 ms'`);
    assert.equal((await as('alice').until(held)).status, 'completed');
    assert.deepEqual((await as('ops').call('GET', '/pauses')).body.pauses, []);
  });

  it('wants no servers for what only waits, and those that work are wanted still', async () => {
    await put('workflows/sleep');
    const running = await as('alice').submit({ url, workflow: 'minute' });
    await as('alice').until(running, ({ status }) => status === 'processing');
    const held = await submit('alice');
    const demand = async () => {
      const { body } = await as('ops', there).call('GET', '/monitor/demand');
      const { sleep, minute } = body.workflows;
      return { all: body.servers_wanted, sleep, minute };
    };
    // Counts are read twice a second.
    await untilTrue(async () => {
      const { sleep, minute } = await demand();
      return sleep.waiting === 1 && minute.running === 1;
    });
    const wanted = async () => {
      const { all, sleep, minute } = await demand();
      return [all, sleep.servers_wanted, minute.servers_wanted];
    };
    assert.deepEqual(await wanted(), [1, 0, 1]);
    await put('pool');
    await remove('workflows/sleep');
    assert.deepEqual(await wanted(), [1, 0, 1]);
    await put('tenants/alice');
    await remove('pool');
    assert.deepEqual(await wanted(), [1, 0, 1]);
    for (const id of [held, running]) await as('ops').call('DELETE', `/tasks/${id}`);
    await remove('tenants/alice');
  });

  it('leaves a tenant its place, whatever others have waiting', async () => {
    await put('pool');
    const many = [];
    for (let i = 0; i < 9; i += 1) many.push(await submit('alice'));
    const [first, second] = [await submit('bob'), await submit('bob')];
    const positions = [];
    for (const id of [first, second]) positions.push((await as('bob').task(id)).queue?.position);
    assert.deepEqual(positions, [2, 4]);
    assert.equal((await as('alice').task(many.at(-1) ?? '')).queue?.position, 9);
    for (const id of [...many, first, second]) await as('ops').call('DELETE', `/tasks/${id}`);
    await remove('pool');
  });

  it('is for operators alone, who say what they mean', async () => {
    for (const [method, path] of [
      ['GET', ''],
      ['PUT', '/pool'],
      ['DELETE', '/pool'],
      ['PUT', '/tenants/bob'],
      ['DELETE', '/workflows/sleep'],
    ] as const) {
      const body = method === 'PUT' ? {} : undefined;
      const answer = await as('bob').call(method, `/pauses${path}`, body);
      assert.deepEqual([answer.status, answer.body.code], [403, 'forbidden'], `${method} ${path}`);
    }
    for (const [terms, field] of [
      [{ until: '2020-01-01T00:00:00Z' }, 'until'],
      [{ until: 'tomorrow' }, 'until'],
      [{ reason: 7 }, 'reason'],
      [{ reason: 'x'.repeat(501) }, 'reason'],
    ] as const) {
      const { status, body } = await put('pool', terms);
      assert.deepEqual([status, body.field], [400, field]);
    }
    assert.deepEqual((await as('ops').call('GET', '/pauses')).body.pauses, []);
  });
});
