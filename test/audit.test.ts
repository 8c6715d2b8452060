import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { pino } from 'pino';
import { acts } from '../src/audit/acts.ts';
import { AuditStore } from '../src/audit/audit-store.ts';
import type { Database } from '../src/db/connect.ts';
import { sql } from '../src/db/drizzle.ts';
import { Emulator } from '../src/emulator/emulator.ts';
import { formOf } from './suites/dialect.suite.ts';
import { eventually } from './support/eventually.ts';
import { type Answer, GatewayClient } from './support/gateway-client.ts';
import { samplePng } from './support/media-samples.ts';
import { backendsOf } from './support/pool-scene.ts';
import {
  connectTestDatabase,
  createTestDatabase,
  type TestDatabase,
} from './support/test-database.ts';
import { TestGateway } from './support/test-gateway.ts';
import { createTestWorkflows, sleepGraph, type TestWorkflows } from './support/test-workflows.ts';

const keys = {
  alice: 'alice-secret-0123456789',
  ops: 'ops-secret-0123456789',
  olga: 'olga-secret-0123456789',
};

interface EventBody {
  readonly seq: number;
  readonly at: string;
  readonly actor: string;
  readonly gateway: string;
  readonly kind: string;
  readonly subject: string;
  readonly body: Readonly<Record<string, unknown>>;
}

describe("the audit of operators' acts", () => {
  const cleanup = new AsyncDisposableStack();
  const logged: Record<string, unknown>[] = [];
  let scratch: TestDatabase;
  let database: Database;
  let emulator: Emulator;
  let workflows: TestWorkflows;
  let gateway: TestGateway;
  let other: TestGateway;
  let picture: Buffer;

  before(async () => {
    scratch = cleanup.use(await createTestDatabase('postgres'));
    database = cleanup.use(await connectTestDatabase(scratch.options));
    emulator = cleanup.use(await Emulator.start());
    workflows = cleanup.use(await createTestWorkflows());
    picture = await samplePng({ width: 16, height: 16, seed: 1 });
    const options = {
      ...({ engine: 'postgres', database: scratch } as const),
      env: {
        WORKFLOWS_DIR: workflows.folder,
        API_KEYS: `alice:${keys.alice}`,
        OPERATOR_KEYS: `ops:${keys.ops},olga:${keys.olga}`,
      },
    };
    const logger = pino({ base: null }, { write: (line) => void logged.push(JSON.parse(line)) });
    gateway = cleanup.use(
      await TestGateway.start({ ...options, backends: [emulator.url], logger }),
    );
    other = cleanup.use(await TestGateway.start({ ...options, backends: [] }));
  });
  after(() => cleanup.disposeAsync());

  type Name = keyof typeof keys;
  type Method = Parameters<GatewayClient['call']>[0];

  async function ask(
    who: Name,
    method: Method,
    path: string,
    body?: unknown,
    { url } = gateway,
  ): Promise<Answer> {
    return await new GatewayClient(url, keys[who]).call(method, path, body);
  }

  async function events(query = '', at = gateway): Promise<EventBody[]> {
    const { status, body } = await ask('ops', 'GET', `/monitor/operators${query}`, undefined, at);
    assert.equal(status, 200, JSON.stringify(body));
    return body.events;
  }

  /** What `act` leaves on record, the oldest first. */
  async function leftBy(act: () => Promise<unknown>): Promise<EventBody[]> {
    const [newest] = await events('?limit=1');
    await act();
    // The other gateway sees it as well.
    const seen = await events('', other);
    assert.deepEqual(await events(), seen);
    return seen.filter(({ seq }) => seq > (newest?.seq ?? 0)).reverse();
  }

  /** Does what must be done, and returns the one record that it leaves. */
  async function leaves(
    who: Name,
    method: Method,
    path: string,
    body?: unknown,
    at = gateway,
  ): Promise<unknown> {
    const left = await leftBy(async () => {
      const answer = await ask(who, method, path, body, at);
      assert.ok(answer.status < 300, JSON.stringify(answer.body));
    });
    assert.equal(left.length, 1, JSON.stringify(left));
    const [{ kind, actor, subject, body: told }] = left as [EventBody];
    return { kind, actor, subject, body: told };
  }

  /** A task of alice's whose result she has downloaded. */
  async function collected(): Promise<void> {
    const file = { bytes: picture, name: 'a.png' };
    const wishes = { task_type: 'denoise', model_name: 'denoise_16' };
    const started = await fetch(`${gateway.url}/uformer/api/process_image`, {
      method: 'POST',
      headers: { 'x-api-key': keys.alice },
      body: formOf({ image_file: file, ...wishes }),
    });
    const { task_id } = (await started.json()) as { task_id: string };
    const path = await eventually(async () => {
      const { body } = await ask('alice', 'GET', `/uformer/api/image_status/${task_id}`);
      assert.equal(body.status, 'completed', JSON.stringify(body));
      return body.result_path;
    });
    const json = { result_path: path };
    assert.equal((await ask('alice', 'POST', '/uformer/api/confirm_download', json)).status, 200);
  }

  it('has who added, drained, resumed and removed a backend', async () => {
    const subject = 'http://127.0.0.1:9';
    const url = 'http://somebody:password@127.0.0.1:9';
    assert.deepEqual(await leaves('ops', 'POST', '/backends', { url }), {
      ...{ kind: 'backend_added', actor: 'ops', subject, body: {} },
    });
    const { body } = await ask('ops', 'GET', '/backends');
    const { id } = body.backends.find(({ address }: { address: string }) => address === subject);
    const path = `/backends/${id}`;
    assert.deepEqual(await leaves('olga', 'PATCH', path, { wanted: 'draining' }, other), {
      ...{ kind: 'backend_drained', actor: 'olga', subject, body: { before: 'active' } },
    });
    assert.deepEqual(await leaves('ops', 'PATCH', path, { wanted: 'active' }), {
      ...{ kind: 'backend_resumed', actor: 'ops', subject, body: { before: 'draining' } },
    });
    assert.deepEqual(await leaves('ops', 'DELETE', path), {
      ...{ kind: 'backend_removed', actor: 'ops', subject, body: { before: 'active' } },
    });
    assert.doesNotMatch(JSON.stringify([await events(), logged]), /password/);
  });

  it('has who wrote and deleted a workflow, and from which version to which', async () => {
    const path = '/workflows/mine';
    const hashOf = async () => (await ask('ops', 'GET', path)).body.hash;
    const created = await leaves('ops', 'PUT', path, sleepGraph(1));
    const first = await hashOf();
    assert.match(first, /^[0-9a-f]{64}$/);
    const subject = 'mine';
    assert.deepEqual(created, {
      ...{ kind: 'workflow_written', actor: 'ops', subject, body: { before: null, after: first } },
    });
    // The other gateway may not have noticed the file yet.
    const replaced = await leaves('olga', 'PUT', path, sleepGraph(2), other);
    await eventually(async () => assert.notEqual(await hashOf(), first));
    const second = await hashOf();
    assert.deepEqual(replaced, {
      ...{ kind: 'workflow_written', actor: 'olga', subject },
      body: { before: first, after: second },
    });
    assert.deepEqual(await leaves('ops', 'DELETE', path), {
      ...{ kind: 'workflow_deleted', actor: 'ops', subject, body: { before: second } },
    });
  });

  it('has who unloaded models, and discarded results, whoever that was', async () => {
    await collected();
    const workflow = 'denoise_image_16';
    const models = { model_names: ['denoise_16'] };
    await eventually(async () => {
      const { body } = await ask('ops', 'GET', '/monitor/stats');
      assert.equal(body.pool_status[0].status, 'idle');
    });
    assert.deepEqual(await leaves('olga', 'POST', '/uformer/api/unload_models', models), {
      ...{ kind: 'models_unloaded', actor: 'olga', subject: '' },
      body: { unloaded: [{ workflow, backend: emulator.url }] },
    });
    const clear = '/uformer/api/clear_cache';
    const told = { dialect: 'uformer', types: ['image'], tasks: 1 };
    assert.deepEqual(await leaves('alice', 'POST', `${clear}?clear_images=true`), {
      ...{ kind: 'results_discarded', actor: 'alice', subject: 'alice', body: told },
    });
    await collected();
    assert.deepEqual(await leaves('ops', 'POST', clear), {
      ...{ kind: 'results_discarded', actor: 'ops', subject: '' },
      body: { ...told, types: ['image', 'video'] },
    });
  });

  it('has who paused and resumed what, until when and why', async () => {
    const until = new Date(Date.now() + 60_000).toISOString();
    const terms = { reason: 'Drivers', until };
    assert.deepEqual(await leaves('ops', 'PUT', '/pauses/pool', terms), {
      ...{ kind: 'paused', actor: 'ops', subject: 'pool', body: terms },
    });
    assert.deepEqual(await leaves('olga', 'PUT', '/pauses/workflows/sleep', {}, other), {
      ...{ kind: 'paused', actor: 'olga', subject: 'workflow sleep' },
      body: { reason: null, until: null },
    });
    await leaves('ops', 'PUT', '/pauses/tenants/alice', {});
    for (const [path, subject] of [
      ['pool', 'pool'],
      ['workflows/sleep', 'workflow sleep'],
      ['tenants/alice', 'tenant alice'],
    ]) {
      assert.deepEqual(await leaves('olga', 'DELETE', `/pauses/${path}`), {
        ...{ kind: 'resumed', actor: 'olga', subject, body: {} },
      });
    }
  });

  it('has what was done with keys, and never a key', async () => {
    const scopes = ['tasks:read'];
    const grant = { name: 'ci', tenant: 'studio', scopes };
    let made: { readonly id: string; readonly key: string } | undefined;
    const left = await leftBy(async () => {
      made = (await ask('ops', 'POST', '/keys', grant)).body;
      await ask('olga', 'POST', `/keys/${made?.id}/rotate`, {});
      await ask('ops', 'DELETE', `/keys/${made?.id}`);
    });
    assert.deepEqual(
      left.map(({ kind, actor, subject, body }) => ({ kind, actor, subject, body })),
      [
        { kind: 'key_created', actor: 'ops', subject: made?.id, body: grant },
        { kind: 'key_rotated', actor: 'olga', subject: made?.id, body: grant },
        { kind: 'key_revoked', actor: 'ops', subject: made?.id, body: grant },
      ],
    );
    assert.ok(!JSON.stringify([left, logged]).includes(made?.key.slice(24) ?? ''));
  });

  it('has nothing of what is refused, fails or changes nothing', async () => {
    const [backend] = (await ask('ops', 'GET', '/backends')).body.backends;
    const path = `/backends/${backend.id}`;
    const url = 'http://127.0.0.1:9';
    const models = { model_names: ['deblur_b'] };
    const left = await leftBy(async () => {
      for (const [status, who, method, where, body] of [
        [403, 'alice', 'POST', '/backends', { url }],
        [403, 'alice', 'PATCH', path, { wanted: 'draining' }],
        [403, 'alice', 'DELETE', path],
        [403, 'alice', 'PUT', '/workflows/sleep', sleepGraph(3)],
        [403, 'alice', 'DELETE', '/workflows/sleep'],
        [403, 'alice', 'POST', '/uformer/api/unload_models', models],
        [403, 'alice', 'POST', '/keys', { name: 'mine', scopes: ['admin'] }],
        [404, 'ops', 'DELETE', '/keys/0123456789abcdef'],
        [400, 'ops', 'POST', '/keys', { name: 'no one', scopes: ['admin'] }],
        [409, 'ops', 'POST', '/backends', { url: emulator.url }],
        [400, 'ops', 'POST', '/backends', { url: 'ftp://x' }],
        [404, 'ops', 'PATCH', '/backends/0123456789ab', { wanted: 'draining' }],
        [200, 'ops', 'PATCH', path, { wanted: 'active' }],
        [409, 'ops', 'DELETE', path],
        [400, 'ops', 'PUT', '/workflows/sleep', { nothing: 1 }],
        [404, 'ops', 'DELETE', '/workflows/nowhere'],
        [403, 'alice', 'PUT', '/pauses/pool', {}],
        [404, 'ops', 'DELETE', '/pauses/pool'],
        [400, 'ops', 'PUT', '/pauses/pool', { until: '2020-01-01T00:00:00Z' }],
        [200, 'ops', 'POST', '/uformer/api/unload_models', models],
        [200, 'ops', 'POST', '/uformer/api/clear_cache'],
      ] as const) {
        const answer = await ask(who, method, where, body);
        assert.equal(answer.status, status, `${method} ${where} ${JSON.stringify(answer.body)}`);
      }
    });
    assert.deepEqual(left, []);
  });

  it('is told in the log, too', async () => {
    const [newest] = await events('?limit=1');
    const here = (await events()).filter((event) => event.gateway === newest?.gateway).reverse();
    const acted = logged.filter(({ msg }) => msg === 'operator.acted');
    assert.deepEqual(
      acted.map(({ kind, actor, subject, body }) => ({ kind, actor, subject, body })),
      here.map(({ kind, actor, subject, body }) => ({ kind, actor, subject, body })),
    );
  });

  it('has had every kind of act by now', async () => {
    const kinds = new Set((await events()).map(({ kind }) => kind));
    assert.deepEqual(kinds, new Set(Object.keys(acts)));
    assert.equal(new Set((await events()).map((event) => event.gateway)).size, 2);
  });

  it('is for operators alone, and read page by page, the newest first', async () => {
    assert.equal((await ask('alice', 'GET', '/monitor/operators')).body.code, 'forbidden');
    const all = await events();
    assert.deepEqual(
      all.map(({ seq }) => seq),
      all.map(({ seq }) => seq).sort((a, b) => b - a),
    );
    const paged: EventBody[] = [];
    for (;;) {
      const last = paged.at(-1);
      const page = await events(`?limit=4${last ? `&before=${last.seq}` : ''}`);
      if (page.length === 0) break;
      assert.ok(page.length <= 4);
      paged.push(...page);
    }
    assert.deepEqual(paged, all);
    for (const [field, value] of [
      ...['0', '1001', '-1', '1.5', 'x', ''].map((text) => ['limit', text] as const),
      ...['0', '-1', 'x', '9'.repeat(16), '9'.repeat(40)].map((text) => ['before', text] as const),
    ]) {
      const { status, body } = await ask('ops', 'GET', `/monitor/operators?${field}=${value}`);
      assert.deepEqual([status, body.field], [400, field], value);
      assert.match(body.message, new RegExp(`^${field}: must be a whole number from 1 to \\d+$`));
    }
    const twice = await ask('ops', 'GET', '/monitor/operators?limit=1&limit=2');
    assert.equal(twice.body.message, 'limit: must be given once');
  });

  it('keeps no file from being written where it cannot be; what is in the database is not', async () => {
    const client = new GatewayClient(gateway.url, keys.ops);
    const [backend] = (await client.call('GET', '/backends')).body.backends;
    await database.orm.execute(sql`alter table operator_events rename to lost`);
    try {
      assert.equal((await client.call('PUT', '/workflows/mine', sleepGraph(4))).status, 200);
      const drained = await client.call('PATCH', `/backends/${backend.id}`, { wanted: 'draining' });
      assert.equal(drained.status, 500);
    } finally {
      await database.orm.execute(sql`alter table lost rename to operator_events`);
    }
    const [line, ...others] = logged.filter(({ msg }) => msg === 'operator.unrecorded');
    assert.deepEqual(others, []);
    assert.deepEqual([line?.actor, line?.kind, line?.subject], ['ops', 'workflow_written', 'mine']);
    const [unchanged] = (await client.call('GET', '/backends')).body.backends;
    assert.equal(unchanged.wanted, 'active');
  });
});

it('names nobody in the audit where no keys are asked for', async () => {
  await using workflows = await createTestWorkflows();
  await using gateway = await TestGateway.start({
    ...{ engine: 'pglite', backends: ['http://127.0.0.1:9'] },
    env: { WORKFLOWS_DIR: workflows.folder },
  });
  const [backend] = await backendsOf(gateway);
  await gateway.call('PATCH', `/backends/${backend?.id}`, { wanted: 'draining' });
  await gateway.call('PUT', '/workflows/mine', sleepGraph(1));
  const { body } = await gateway.call('GET', '/monitor/operators');
  assert.deepEqual(
    body.events.map(({ kind, actor }: EventBody) => [kind, actor]),
    [
      ['workflow_written', ''],
      ['backend_drained', ''],
    ],
  );
});

it('keeps what operators did as long as what happened to tasks', async () => {
  await using scratch = await createTestDatabase('postgres');
  await using database = await connectTestDatabase(scratch.options);
  const audit = new AuditStore(database.orm, randomUUID());
  for (const subject of ['old', 'young']) {
    await audit.add({ actor: 'ops', kind: 'workflow_deleted', subject, body: { before: null } });
  }
  await database.orm.execute(
    sql`update operator_events set at = now() - interval '25 hours' where subject = 'old'`,
  );
  await using gateway = await TestGateway.start({
    ...{ engine: 'postgres', database: scratch, backends: [] },
    env: { EVENT_RETENTION_DAYS: '1' },
  });
  await eventually(async () => {
    const { body } = await gateway.call('GET', '/monitor/operators');
    assert.deepEqual(
      body.events.map(({ subject }: EventBody) => subject),
      ['young'],
    );
  });
});
