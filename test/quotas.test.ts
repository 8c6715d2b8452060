import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { after, before, beforeEach, describe, it } from 'node:test';
import { pino } from 'pino';
import { noQuotas } from '../src/core/quota.ts';
import type { Database } from '../src/db/connect.ts';
import { sql } from '../src/db/drizzle.ts';
import { rowsOf } from '../src/db/rows.ts';
import type { Emulator } from '../src/emulator/emulator.ts';
import { ClaimStore } from '../src/tasks/claim-store.ts';
import { QuotaStore } from '../src/tasks/quota-store.ts';
import { multipartForm } from './support/form.ts';
import { type Answer, GatewayClient } from './support/gateway-client.ts';
import { Scene, Supplies, untilTrue } from './support/pool-scene.ts';
import { backend, GatewayStores, newTask } from './support/task-stores.ts';
import {
  connectTestDatabase,
  createTestDatabase,
  engines,
  type TestDatabase,
} from './support/test-database.ts';
import type { TestGateway } from './support/test-gateway.ts';
import { sleepGraph } from './support/test-workflows.ts';

const names = ['wait', 'gpu', 'store', 'send', 'form', 'ask', 'other'] as const;
type Name = (typeof names)[number];
const keyOf = (name: string) => `${name}-secret-0123456789`;
const ops = keyOf('ops');
const keys = {
  API_KEYS: names.map((name) => `${name}:${keyOf(name)}`).join(','),
  OPERATOR_KEYS: `ops:${ops}`,
};

function assertRefused({ status, body, headers }: Answer, policy: string, state: RegExp): void {
  assert.equal(status, 429, JSON.stringify(body));
  assert.equal(body.code, 'limit_exceeded');
  assert.equal(headers['ratelimit-policy'], `"requests";q=30;w=60, ${policy}`);
  assert.match(String(headers.ratelimit), state);
  assert.match(String(headers['retry-after']), /^[1-9]\d*$/);
}

describe('quotas of tenants', () => {
  const cleanup = new AsyncDisposableStack();
  const log: { msg: string; tenant?: string; limit?: string }[] = [];
  let database: Database;
  let gateway: TestGateway;
  let task: object;

  before(async () => {
    const supplies = cleanup.use(await Supplies.open());
    const scratch = cleanup.use(await createTestDatabase('postgres'));
    const scene = cleanup.use(new Scene(supplies));
    gateway = await scene.gateway([], {
      database: scratch,
      logger: pino({ level: 'info' }, { write: (line: string) => log.push(JSON.parse(line)) }),
      env: {
        ...keys,
        QUEUE_WHEN_UNAVAILABLE: 'true',
        LIMIT_REQUESTS: '30',
        LIMIT_WAITING: '2',
        LIMIT_GPU_SECONDS: '60',
        LIMIT_STORED_BYTES: '1000',
        LIMIT_UPLOAD_BYTES: '10',
      },
    });
    database = cleanup.use(await connectTestDatabase(scratch.options));
    task = { url: supplies.url, workflow: 'sleep' };
  });
  after(() => cleanup.disposeAsync());

  const client = (name: Name | 'ops') => new GatewayClient(gateway.url, keyOf(name));
  const submit = (name: Name | 'ops') => client(name).call('POST', '/tasks', task);

  it('let so many tasks of a tenant wait, however fast they come, and others go on', async () => {
    const answers = await Promise.all([submit('wait'), submit('wait')]);
    for (const { status } of answers) assert.equal(status, 200);
    const refused = await submit('wait');
    assertRefused(refused, '"waiting";q=2;qu="tasks"', /^"requests";r=27;t=\d, "waiting";r=0;t=5$/);
    assert.equal(refused.headers['retry-after'], '5');
    assert.match(refused.body.message, /the 2 waiting tasks that it may/);
    assert.equal((await submit('other')).status, 200);
    for (let count = 0; count < 3; count += 1) assert.equal((await submit('ops')).status, 200);
    const id = answers[0]?.body.task_id;
    assert.equal((await client('wait').call('DELETE', `/tasks/${id}`)).status, 200);
    await untilTrue(async () => (await submit('wait')).status === 200);
    const told = log.filter(({ msg, tenant }) => msg === 'request.refused' && tenant === 'wait');
    assert.deepEqual(
      told.map(({ limit }) => limit),
      ['waiting'],
    );
  });

  it('refuse tasks of a tenant that had its GPU time of the day, until midnight', async () => {
    await database.orm.execute(sql`
      insert into usage (day, tenant, workflow, shard, gpu_ms)
      select (now() at time zone 'UTC')::date - ago, tenant, 'w', 1, ms
        from (values (0, 'gpu', 60000), (0, 'other', 59999), (1, 'other', 60000)) as had (ago, tenant, ms)`);
    assert.equal((await submit('other')).status, 200);
    const refused = await submit('gpu');
    const policy = '"gpu-seconds";q=60;qu="gpu-seconds";w=86400';
    assertRefused(refused, policy, /, "gpu-seconds";r=0;t=\d+$/);
    const midnight = Math.ceil(Date.now() / 86_400_000) * 86_400_000;
    const leftS = (midnight - Date.now()) / 1_000;
    assert.ok(Math.abs(Number(refused.headers['retry-after']) - leftS) < 60);
  });

  it('refuse tasks of a tenant whose results take what they may', async () => {
    await database.orm.execute(sql`
      insert into tenant_totals (tenant, shard, stored_bytes)
      values ('store', 1, 600), ('store', 2, 400)`);
    const state = /, "stored-bytes";r=0;t=60$/;
    const policy = '"stored-bytes";q=1000;qu="content-bytes"';
    assertRefused(await submit('store'), policy, state);
  });

  it('refuse files of a tenant that has sent as many as it may', async () => {
    const open = () => client('send').call('POST', '/uploads', {});
    const first = await open();
    const second = await open();
    const send = (answer: Answer) =>
      fetch(answer.body.url, { method: 'PUT', body: 'GIF89a not to be read' });
    assert.equal((await send(first)).status, 200);
    await untilTrue(async () => (await open()).status === 429);
    const policy = '"upload-bytes";q=10;qu="content-bytes"';
    assertRefused(await open(), policy, /, "upload-bytes";r=0;t=5$/);
    // What was opened before is not filled either, also by whoever has but its address.
    assert.equal((await send(second)).status, 429);
    // It goes on with what is there.
    const use = { url: first.body.source, workflow: 'sleep' };
    assert.equal((await client('send').call('POST', '/tasks', use)).status, 200);
  });

  it('answer before a file comes', async () => {
    for (const expected of [200, 200, 429]) {
      assert.equal((await submit('form')).status, expected);
    }
    assert.equal(await statusWithoutBody(`${gateway.url}/tasks`, keyOf('form')), 429);
  });

  it('let a tenant ask so often, and count nothing for operators or what is open', async () => {
    const path = '/usage';
    const first = await client('ask').call('GET', path);
    assert.equal(first.headers['ratelimit-policy'], '"requests";q=30;w=60');
    assert.equal(first.headers.ratelimit, '"requests";r=29;t=2');
    const answers: Answer[] = [];
    while (answers.at(-1)?.status !== 429 && answers.length < 100) {
      answers.push(await client('ask').call('GET', path));
    }
    assert.ok(answers.length >= 30);
    const { headers, body } = answers.at(-1) as Answer;
    assert.equal(headers.ratelimit?.toString().replace(/\d\d$/, 'N'), '"requests";r=0;t=N');
    assert.equal(headers['ratelimit-policy'], '"requests";q=30;w=60');
    assert.match(String(headers['retry-after']), /^[12]$/);
    assert.equal(body.code, 'limit_exceeded');
    assert.equal((await client('ask').call('GET', '/health')).status, 200);
    assert.equal((await client('other').call('GET', path)).status, 200);
    for (let count = 0; count < 40; count += 1) {
      const { status, headers } = await client('ops').call('GET', path);
      assert.equal(status, 200);
      assert.equal(headers.ratelimit, undefined);
    }
  });

  it('are told by each API in its own words', async () => {
    const ask = async (path: string) => {
      const answer = await fetch(`${gateway.url}${path}`, {
        headers: { 'x-api-key': keyOf('ask') },
      });
      assert.equal(answer.status, 429);
      assert.ok(answer.headers.get('retry-after'));
      return (await answer.json()) as object;
    };
    await untilTrue(async () => (await client('ask').call('GET', '/usage')).status === 429);
    const job = await ask('/upscale-service/api/v1/models');
    assert.deepEqual(Object.keys(job), ['success', 'error', 'code']);
    assert.deepEqual(Object.keys(await ask('/task-manager/api/v1/task-names')), ['detail']);
    assert.deepEqual(Object.keys(await ask('/uformer/api/cache_status')), ['detail']);
  });
});

/** Of the answer to a request whose body never comes. */
async function statusWithoutBody(url: string, key: string): Promise<number> {
  const { contentType } = multipartForm([]);
  const asked = httpRequest(url, {
    method: 'POST',
    headers: { 'content-type': contentType, 'x-api-key': key, 'content-length': '1000000' },
  });
  asked.on('error', () => {});
  asked.flushHeaders();
  const [answer] = (await once(asked, 'response')) as [IncomingMessage];
  asked.destroy();
  return answer.statusCode ?? 0;
}

describe('quotas of all', () => {
  const cleanup = new AsyncDisposableStack();
  let gateway: TestGateway;
  let emulators: Emulator[];
  let task: object;

  before(async () => {
    const supplies = cleanup.use(await Supplies.open());
    await supplies.workflows.write('half', sleepGraph(0.5));
    const scene = cleanup.use(new Scene(supplies));
    emulators = [await scene.emulator(), await scene.emulator()];
    task = { url: supplies.url, workflow: 'half' };
    gateway = await scene.gateway([], {
      backends: emulators.map((each) => each.url),
      env: {
        ...keys,
        MAX_QUEUE: '2',
        LIMIT_RUNNING: '1',
        LIMIT_WRONG_KEYS: '3',
      },
    });
  });
  after(() => cleanup.disposeAsync());

  const ask = (key: string, path = '/usage') =>
    new GatewayClient(gateway.url, key).call('GET', path);

  it('begin no more of a tenant than it may have under way, and take no more than may wait', async () => {
    const operator = new GatewayClient(gateway.url, ops);
    assert.equal((await operator.call('PUT', '/pauses/pool', {})).status, 200);
    const client = new GatewayClient(gateway.url, keyOf('wait'));
    const ids = [await client.submit(task), await client.submit(task)];
    for (const key of [keyOf('wait'), keyOf('other'), ops]) {
      const refused = await new GatewayClient(gateway.url, key).call('POST', '/tasks', task);
      assert.equal(refused.status, 503);
      assert.equal(refused.body.code, 'queue_full');
      assert.equal(refused.headers['retry-after'], '2');
    }
    assert.equal(await statusWithoutBody(`${gateway.url}/tasks`, ops), 503);
    assert.equal((await operator.call('DELETE', '/pauses/pool')).status, 200);
    for (const id of ids) assert.equal((await client.until(id)).status, 'completed');
    const runs = emulators
      .flatMap((each) => each.runs)
      .toSorted((a, b) => a.startedAt - b.startedAt);
    const [first, second] = runs;
    assert.ok(first?.endedAt && second && runs.length === 2);
    assert.ok(second.startedAt >= first.endedAt);
  });

  it('look at no further key from an address that sent too many wrong ones', async () => {
    assert.equal((await ask(ops)).status, 200);
    for (let count = 0; count < 3; count += 1) {
      assert.equal((await ask(`wrong-${count}`)).status, 401);
    }
    const refused = await ask('wrong-3');
    assert.equal(refused.status, 429);
    assert.equal(refused.body.code, 'limit_exceeded');
    assert.equal(refused.headers['ratelimit-policy'], '"wrong-keys";q=3;w=60');
    assert.match(String(refused.headers.ratelimit), /^"wrong-keys";r=0;t=\d+$/);
    assert.match(String(refused.headers['retry-after']), /^\d+$/);
    // Whether a key is right is not told, but for those that were right before.
    assert.equal((await ask(keyOf('gpu'))).status, 429);
    assert.equal((await ask(ops)).status, 200);
    assert.equal((await ask(ops, '/health')).status, 200);
    assert.equal((await fetch(`${gateway.url}/usage`)).status, 401);
  });
});

for (const engine of engines) {
  describe(`quotas on ${engine}`, () => {
    let scratch: TestDatabase;
    let database: Database;
    let stores: GatewayStores;

    before(async () => {
      scratch = await createTestDatabase(engine);
      database = await connectTestDatabase(scratch.options);
    });
    beforeEach(async () => {
      await database.orm.execute(sql`delete from tasks`);
      await database.orm.execute(sql`delete from runs`);
      await database.orm.execute(sql`delete from task_counts`);
      stores = new GatewayStores(database);
    });
    after(async () => {
      await database[Symbol.asyncDispose]();
      await scratch[Symbol.asyncDispose]();
    });

    const insert = async (tenant: string, room = { waiting: null, queue: null }) =>
      await stores.tasks.insert(newTask({ tenant }), room);

    it('write a task only where one more may wait', async () => {
      const two = { waiting: 2, queue: null };
      const written = [];
      for (const tenant of ['a', 'a', 'a', 'b']) {
        written.push((await stores.tasks.insert(newTask({ tenant }), two)) !== null);
      }
      assert.deepEqual(written, [true, true, false, true]);
      const [first] = (await stores.claims.heads()).filter(({ tenant }) => tenant === 'a');
      assert.ok(first && (await stores.claims.claim(first.id, backend)));
      assert.ok(await stores.tasks.insert(newTask({ tenant: 'a' }), two));
      // Three wait now, of both tenants.
      const room = (queue: number) => ({ waiting: null, queue });
      assert.equal(await stores.tasks.insert(newTask({ tenant: 'c' }), room(3)), null);
      assert.ok(await stores.tasks.insert(newTask({ tenant: 'c' }), room(4)));
      assert.equal(await new QuotaStore(database.orm).queue(), 4);
      const result = await database.orm.execute(sql`
        select (select count(*)::int from tasks) as tasks, (select count(*)::int from runs) as runs,
               (select count(*)::int from task_stages) as stages`);
      assert.deepEqual([...rowsOf(result)], [{ tasks: 5, runs: 5, stages: 15 }]);
    });

    it('tell what a tenant has, and look at nothing else', async () => {
      const store = new QuotaStore(database.orm);
      for (const tenant of ['a', 'a', 'a', 'b']) await insert(tenant);
      const nothing = { waiting: 0, storedBytes: 0, uploadBytes: 0, gpuMs: 0 };
      assert.deepEqual(await store.standing('a', noQuotas), nothing);
      const all = { ...noQuotas, waiting: 2, storedBytes: 1, uploadBytes: 1, gpuSeconds: 1 };
      assert.deepEqual(await store.standing('a', all), { ...nothing, waiting: 2 });
      assert.deepEqual(await store.standing('b', all), { ...nothing, waiting: 1 });
      assert.deepEqual(await store.standing('c', all), nothing);
    });

    it('offer and begin nothing of a tenant that has as much under way as it may', async () => {
      const claims = new ClaimStore(stores.door, { leaseMs: 15_000, runningAtMost: 1 });
      for (const tenant of ['a', 'a', 'b', '', '']) await insert(tenant);
      const offered = async () => (await claims.heads()).map(({ tenant }) => tenant).toSorted();
      const before = await claims.heads();
      assert.deepEqual(await offered(), ['', 'a', 'b']);
      for (const { id } of before) assert.ok(await claims.claim(id, backend));
      // Without keys everybody is one tenant, which may have everything.
      assert.deepEqual(await offered(), ['']);
      const [next] = (await stores.claims.heads()).filter(({ tenant }) => tenant === 'a');
      assert.equal(await claims.claim(next?.id ?? '', backend), null);
      const runs = await stores.claims.heads();
      assert.equal(runs.length, 2);
    });
  });
}
