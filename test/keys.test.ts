import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { sql } from '../src/db/drizzle.ts';
import { Emulator } from '../src/emulator/emulator.ts';
import { makeKey } from '../src/keys/key-text.ts';
import { formOf } from './suites/dialect.suite.ts';
import { eventually } from './support/eventually.ts';
import { type Answer, GatewayClient } from './support/gateway-client.ts';
import { samplePng } from './support/media-samples.ts';
import { SourceServer } from './support/source-server.ts';
import { TcpProxy } from './support/tcp-proxy.ts';
import { testTempo } from './support/tempo.ts';
import {
  connectTestDatabase,
  createTestDatabase,
  type TestDatabase,
  urlOf,
} from './support/test-database.ts';
import { TestGateway } from './support/test-gateway.ts';
import { createTestWorkflows } from './support/test-workflows.ts';

const settings = {
  alice: 'alice-secret-0123456789',
  ops: 'ops-secret-0123456789',
};
const env = {
  API_KEYS: `alice:${settings.alice}`,
  OPERATOR_KEYS: `ops:${settings.ops}`,
};

interface Made {
  readonly id: string;
  readonly key: string;
}

async function made(ops: GatewayClient, grant: object): Promise<Made> {
  const { status, body, headers } = await ops.call('POST', '/keys', grant);
  assert.equal(status, 201, JSON.stringify(body));
  assert.equal(headers['cache-control'], 'no-store');
  return body;
}

describe('keys that are made while gateways run', () => {
  const cleanup = new AsyncDisposableStack();
  let scratch: TestDatabase;
  let gateway: TestGateway;
  let other: TestGateway;
  let ops: GatewayClient;
  let url: string;

  before(async () => {
    scratch = cleanup.use(await createTestDatabase('postgres'));
    const emulator = cleanup.use(await Emulator.start());
    const sources = cleanup.use(await SourceServer.start());
    const workflows = cleanup.use(await createTestWorkflows(0.05));
    url = sources.file('a.png', await samplePng({ width: 16, height: 16, seed: 1 }));
    const options = {
      ...({ engine: 'postgres', database: scratch } as const),
      backends: [emulator.url],
      tempo: { ...testTempo, keys: { ...testTempo.keys, usesTogetherMs: 100 } },
      env: {
        ...env,
        SOURCE_ALLOW: sources.host,
        WORKFLOWS_DIR: workflows.folder,
        DIALECT_PORTS: 'task-manager:0',
      },
    };
    gateway = cleanup.use(await TestGateway.start(options));
    other = cleanup.use(await TestGateway.start(options));
    ops = new GatewayClient(gateway.url, settings.ops);
  });
  after(() => cleanup.disposeAsync());

  async function ask(key: string, method: 'GET' | 'POST', path: string, at = gateway.url) {
    const body = method === 'POST' ? { url, workflow: 'sleep' } : undefined;
    return await new GatewayClient(at, key).call(method, path, body);
  }

  it('are good at once, at every gateway and every port, for what they may do', async () => {
    const { key } = await made(ops, { name: 'reader', tenant: 'alice', scopes: ['tasks:read'] });
    const id = await new GatewayClient(gateway.url, settings.alice).submit({
      url,
      workflow: 'sleep',
    });
    // Its tenant is alice.
    assert.equal((await ask(key, 'GET', `/tasks/${id}`)).status, 200);
    await eventually(async () => {
      assert.equal((await ask(key, 'GET', `/tasks/${id}`, other.url)).status, 200);
    });
    const refused = await ask(key, 'POST', '/tasks');
    assert.deepEqual([refused.status, refused.body.code], [403, 'forbidden']);
    assert.match(refused.body.message, /tasks:write/);
    const port = gateway.dialectUrls.get('task-manager') ?? '';
    const page = await fetch(`${port}/dashboard`, { headers: { 'x-api-key': key } });
    assert.equal(page.status, 200);
    const writer = await made(ops, { name: 'writer', tenant: 'alice', scopes: ['tasks:write'] });
    assert.equal((await ask(writer.key, 'POST', '/tasks')).status, 200);
    const blind = await fetch(`${port}/dashboard`, { headers: { 'x-api-key': writer.key } });
    assert.equal(blind.status, 403);
  });

  it("show those of another tenant nothing, and an admin everybody's", async () => {
    const all = ['tasks:read', 'tasks:write', 'graphs', 'workflows:write', 'backends:write'];
    const bob = await made(ops, { name: 'bob', scopes: all });
    const boss = await made(ops, { name: 'boss', scopes: ['admin'] });
    const id = await new GatewayClient(gateway.url, settings.alice).submit({
      url,
      workflow: 'sleep',
    });
    assert.equal((await ask(bob.key, 'GET', `/tasks/${id}`)).status, 404);
    assert.equal((await ask(boss.key, 'GET', `/tasks/${id}`)).status, 200);
    assert.equal((await ask(bob.key, 'GET', '/workflows/sleep/graph')).status, 200);
    assert.equal((await ask(settings.alice, 'GET', '/workflows/sleep/graph')).status, 403);
  });

  it('delete no result of the Image Upscale Service by looking at it, unless they may', async () => {
    const { key } = await made(ops, { name: 'viewer', tenant: 'alice', scopes: ['tasks:read'] });
    const headers = { 'x-api-key': settings.alice };
    const picture = await samplePng({ width: 16, height: 16, seed: 1 });
    const body = formOf({ image: { bytes: picture, name: 'a.png' }, scale: '2' });
    const sent = await fetch(`${gateway.url}/api/v1/upscale`, { method: 'POST', headers, body });
    const { job_id } = (await sent.json()) as { job_id: string };
    const download = async (key: string) => {
      const path = `${gateway.url}/api/v1/download/${job_id}`;
      const answer = await fetch(path, { headers: { 'x-api-key': key } });
      await answer.arrayBuffer();
      return answer.status;
    };
    await eventually(async () => assert.equal(await download(key), 200));
    assert.equal(await download(key), 200);
    assert.equal(await download(settings.alice), 200);
    assert.equal(await download(key), 410);
  });

  it('are refused by all gateways when they are revoked, though the notice is lost', async () => {
    const { id, key } = await made(ops, { name: 'short', scopes: ['tasks:read'] });
    await eventually(async () => {
      assert.equal((await ask(key, 'GET', '/monitor/stats', other.url)).status, 200);
    });
    await using database = await connectTestDatabase(scratch.options);
    // As a gateway revokes it, without telling anybody.
    await database.orm.execute(
      sql`update api_keys set revoked_at = now(), edition = edition + 1 where id = ${id}`,
    );
    await delay(testTempo.keys.holdMs + 50);
    for (const at of [gateway.url, other.url]) {
      assert.equal((await ask(key, 'GET', '/monitor/stats', at)).status, 401);
    }
  });

  it('are refused here from the answer on', async () => {
    const { id, key } = await made(ops, { name: 'shorter', scopes: ['tasks:read'] });
    const asking = { isOver: false };
    // Others ask with it all the while.
    const busy = (async () => {
      while (!asking.isOver) await ask(key, 'GET', '/workflows');
    })();
    assert.equal((await ask(key, 'GET', '/workflows')).status, 200);
    assert.equal((await ops.call('DELETE', `/keys/${id}`)).status, 200);
    assert.equal((await ask(key, 'GET', '/workflows')).status, 401);
    asking.isOver = true;
    await busy;
    assert.equal((await ops.call('DELETE', `/keys/${id}`)).body.code, 'key_unknown');
  });

  it('tell those who guess nothing', async () => {
    const { key } = await made(ops, { name: 'guessed', scopes: ['tasks:read'] });
    const gone = await made(ops, { name: 'gone', scopes: ['tasks:read'] });
    await ops.call('DELETE', `/keys/${gone.id}`);
    const rotated = await made(ops, { name: 'rotated', scopes: ['tasks:read'] });
    await ops.call('POST', `/keys/${rotated.id}/rotate`, {});
    // One of no id, and others of ids that there are.
    const invented = [makeKey().key, makeKey(rotated.id).key, makeKey(gone.id).key];
    const guesses = [key.slice(0, -1), gone.key, rotated.key, ...invented, 'guess'];
    const answers: Answer[] = [];
    for (const guess of guesses) answers.push(await ask(guess, 'GET', '/monitor/stats'));
    const [first] = answers;
    for (const { status, body, headers } of answers) {
      assert.equal(status, 401);
      assert.deepEqual(body, first?.body);
      const own = { date: '', 'x-request-id': '' };
      assert.deepEqual({ ...headers, ...own }, { ...first?.headers, ...own });
    }
  });

  it('are listed with their last use, and by no name twice', async () => {
    const { id, key } = await made(ops, { name: 'listed', scopes: ['tasks:read', 'tasks:read'] });
    await ask(key, 'GET', '/monitor/stats');
    await eventually(async () => {
      const { body } = await ops.call('GET', '/keys');
      const { created_at, last_used_at, ...told } = body.keys.find((each: Made) => each.id === id);
      assert.deepEqual(told, {
        ...{ id, name: 'listed', tenant: 'listed', scopes: ['tasks:read'], expires_at: null },
      });
      assert.ok(last_used_at >= created_at);
    });
    const again = await ops.call('POST', '/keys', { name: 'listed', scopes: ['tasks:read'] });
    assert.deepEqual([again.status, again.body.code], [409, 'key_exists']);
    const odd = await ops.call('POST', '/keys', { name: 'odd', scopes: ['tasks:all'] });
    assert.deepEqual([odd.status, odd.body.field], [400, 'scopes.0']);
    const past = { name: 'odd', scopes: ['admin'], expires_at: '2020-01-01T00:00:00Z' };
    assert.equal((await ops.call('POST', '/keys', past)).body.field, 'expires_at');
  });

  it('go on for the grace that their rotation gives them', async () => {
    const { id, key } = await made(ops, { name: 'turned', scopes: ['tasks:read'] });
    const { body } = await ops.call('POST', `/keys/${id}/rotate`, { grace_seconds: 3_600 });
    assert.equal(body.id, id);
    for (const each of [key, body.key]) {
      assert.equal((await ask(each, 'GET', '/monitor/stats')).status, 200);
    }
    const { body: events } = await ops.call('GET', '/monitor/operators?limit=2');
    assert.deepEqual(
      events.events.map(({ kind, actor, subject }: Record<string, string>) => [
        kind,
        actor,
        subject,
      ]),
      [
        ['key_rotated', 'ops', id],
        ['key_created', 'ops', id],
      ],
    );
  });

  it('sign what their bearers do with their own names', async () => {
    const { key } = await made(ops, {
      ...{ name: 'olga', tenant: 'studio', scopes: ['workflows:write', 'tasks:read'] },
    });
    const olga = new GatewayClient(gateway.url, key);
    const { body: graph } = await ops.call('GET', '/workflows/sleep/graph');
    assert.equal((await olga.call('PUT', '/workflows/hers', graph)).status, 200);
    const { body } = await ops.call('GET', '/monitor/operators?limit=1');
    assert.equal(body.events[0].actor, 'olga');
    assert.equal((await olga.call('GET', '/monitor/operators')).status, 403);
  });
});

describe('a gateway whose keys stand in the database alone', () => {
  it('asks for one as soon as there is one, and tells nothing without the database', async () => {
    await using scratch = await createTestDatabase('postgres');
    const direct = urlOf(scratch);
    await using proxy = await TcpProxy.before(direct);
    const options = { engine: 'postgres', database: scratch, backends: [] } as const;
    await using far = await TestGateway.start({
      ...options,
      env: { DATABASE_URL: proxy.through(direct) },
    });
    await using keyed = await TestGateway.start({
      ...options,
      env: { ...env, DATABASE_URL: proxy.through(direct) },
    });
    await using near = await TestGateway.start(options);
    assert.equal((await far.call('GET', '/workflows')).status, 200);

    // Nobody can tell it of the first key.
    proxy.shut();
    const { key } = await made(near, { name: 'first', scopes: ['admin'] });
    assert.equal((await near.call('GET', '/workflows')).status, 401);
    await delay(testTempo.keys.holdMs + 50);
    const asking = (gateway: TestGateway, key: string | null, path: string) =>
      new GatewayClient(gateway.url, key).call('GET', path);
    for (const who of [null, key]) {
      const { status, body } = await asking(far, who, '/workflows');
      assert.deepEqual([status, body.code], [503, 'unavailable'], String(who));
    }
    assert.equal((await far.call('GET', '/health')).status, 200);
    const away = await asking(keyed, key, '/workflows');
    assert.deepEqual([away.status, away.body.code], [503, 'unavailable']);
    assert.equal((await asking(keyed, 'wrong-0123456789', '/workflows')).status, 401);
    // What needs no database is answered to keys of the settings.
    assert.equal((await asking(keyed, settings.alice, '/api/model_loading_strategy')).status, 200);

    proxy.open();
    await eventually(async () => {
      assert.equal((await asking(far, null, '/workflows')).status, 401);
      assert.equal((await asking(far, key, '/workflows')).status, 200);
      assert.equal((await asking(keyed, key, '/workflows')).status, 200);
    });
  });

  it('goes on asking when it was started again, though the key is revoked', async () => {
    await using scratch = await createTestDatabase('postgres');
    const options = { engine: 'postgres', database: scratch, backends: [] } as const;
    {
      await using gateway = await TestGateway.start(options);
      const { id, key } = await made(gateway, { name: 'first', scopes: ['admin'] });
      const boss = new GatewayClient(gateway.url, key);
      assert.equal((await boss.call('DELETE', `/keys/${id}`)).status, 200);
    }
    await using gateway = await TestGateway.start(options);
    assert.equal((await gateway.call('GET', '/workflows')).status, 401);
  });
});
