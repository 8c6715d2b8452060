import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { request } from 'undici';
import { createLogger } from '../src/telemetry/logger.ts';
import { GatewayClient } from './support/gateway-client.ts';
import { Scene, Supplies, untilTrue } from './support/pool-scene.ts';
import type { TestGateway } from './support/test-gateway.ts';

const alice = 'alice-secret-0123456789';
const ops = 'ops-secret-0123456789';
describe('the log of a gateway', () => {
  const cleanup = new AsyncDisposableStack();
  // biome-ignore lint/suspicious/noExplicitAny: read by tests as JSON is.
  const log: any[] = [];
  let gateway: TestGateway;
  let source: string;
  /** Nobody listens there. */
  let away: string;

  before(async () => {
    const supplies = cleanup.use(await Supplies.open());
    source = supplies.url;
    const scene = cleanup.use(new Scene(supplies));
    const emulator = await scene.emulator();
    away = `http://127.0.0.1:${await freePort()}`;
    const logger = createLogger('debug', { write: (line) => void log.push(JSON.parse(line)) });
    gateway = await scene.gateway([], {
      backends: [emulator.url, away],
      env: { ...supplies.env, API_KEYS: `alice:${alice}`, OPERATOR_KEYS: `ops:${ops}` },
      logger,
    });
  });
  after(() => cleanup.disposeAsync());

  const ask = (path: string, headers: Readonly<Record<string, string>> = {}) =>
    request(`${gateway.url}${path}`, { headers });
  const named = (msg: string) => log.filter((line) => line.msg === msg);
  const lineOf = async (id: unknown) => {
    await untilTrue(() => named('request.answered').some((line) => line.request === id));
    return named('request.answered').find((line) => line.request === id);
  };

  it('tells of a task under the id that its client has, and what became of it', async () => {
    const client = new GatewayClient(gateway.url, alice);
    const { body } = await client.call('POST', '/tasks', { url: source, workflow: 'sleep' });
    await client.until(body.task_id);
    const told = log.filter(({ clientId }) => clientId === body.task_id);
    assert.deepEqual(
      told.map(({ msg }) => msg),
      ['task.accepted', 'attempt.started', 'task.completed'],
    );
    const { tenant, workflow, backend, seconds, waited, bytes } = told.at(-1);
    assert.deepEqual([tenant, workflow, typeof backend], ['alice', 'sleep', 'string']);
    assert.ok(bytes > 0 && seconds > 0 && waited >= 0);
  });

  it('has a line for each request, with the id that its client gave it', async () => {
    const id = 'f692edeb41cb4a3eaebd2db0044c0778';
    const given = { 'x-request-id': 'trace-1.a:b', 'x-api-key': alice };
    const answer = await ask(`/tasks/${id}?token=hush`, given);
    assert.equal(answer.headers['x-request-id'], 'trace-1.a:b');
    const { ms, time, ...told } = await lineOf('trace-1.a:b');
    assert.equal(typeof ms, 'number');
    assert.ok(time);
    assert.deepEqual(told, {
      level: 'info',
      msg: 'request.answered',
      request: 'trace-1.a:b',
      method: 'GET',
      path: `/tasks/${id}`,
      dialect: 'tmlsr',
      tenant: 'alice',
      status: 404,
      code: 'task_not_found',
    });
  });

  it('makes an id where the client sends none, or what is none', async () => {
    for (const sent of [undefined, 'two words', 'x'.repeat(101)]) {
      const { headers } = await ask('/', sent === undefined ? {} : { 'x-request-id': sent });
      assert.match(String(headers['x-request-id']), /^[0-9a-f-]{36}$/);
      assert.equal((await lineOf(headers['x-request-id'])).path, '/');
    }
  });

  it('keeps the secrets of addresses to itself', async () => {
    const { headers } = await ask('/objects/f692/MARKER-of-a-link/a.png?q=MARKER', {
      'x-api-key': 'MARKER-of-a-key-0123456789',
    });
    const line = await lineOf(headers['x-request-id']);
    assert.match(line.path, /^\/objects\//);
    await ask('/MARKER/nowhere');
    await ask('/tasks/MARKER', { 'x-api-key': alice });
    assert.doesNotMatch(JSON.stringify(log), /MARKER/);
  });

  it('is quiet about probes', async () => {
    for (const path of ['/health', '/ready', '/upscale-service/api/v1/health']) {
      const { headers } = await ask(path);
      assert.equal((await lineOf(headers['x-request-id'])).level, 'debug', path);
    }
  });

  it('tells once of an address that comes without a good key', async () => {
    const before = named('request.refused').length;
    for (let count = 0; count < 5; count += 1) {
      const { statusCode, headers } = await ask('/usage', { 'x-api-key': 'wrong-0123456789abcd' });
      assert.equal(statusCode, 401);
      assert.equal((await lineOf(headers['x-request-id'])).level, 'debug');
    }
    const refused = named('request.refused');
    assert.ok(refused.length <= before + 1);
    const { code, address, level } = refused.at(-1);
    assert.deepEqual([level, code, address], ['info', 'unauthorized', '127.0.0.1']);
  });

  it('tells once why a backend is not reached, and again when the reason is another', async () => {
    const told = () => named('backend.unreachable').filter(({ backend }) => backend === away);
    await untilTrue(() => told().length > 0);
    assert.match(told()[0].reason, /ECONNREFUSED/);
    await using broken = new AsyncDisposableStack();
    const server = createServer((_request, response) => response.writeHead(502).end());
    broken.defer(() => void server.close());
    server.listen(Number(new URL(away).port), '127.0.0.1');
    await untilTrue(() => told().length > 1);
    const [first, second, ...others] = told();
    assert.deepEqual([first.level, second.level, others], ['warn', 'warn', []]);
    assert.match(second.reason, /502/);
  });

  it('has no error, and no stack, for what clients do wrong', async () => {
    const wrong = new GatewayClient(gateway.url, alice);
    const bad = 'http://127.0.0.1:1/nothing.png';
    await wrong.call('POST', '/tasks', { url: bad });
    await wrong.call('POST', '/tasks', { url: source, workflow: 'none-such' });
    const { body } = await wrong.call('POST', '/tasks', {
      url: source.replace('a.png', 'gone.png'),
      workflow: 'sleep',
    });
    await wrong.until(body.task_id);
    const failed = named('task.failed').at(-1);
    assert.deepEqual([failed.clientId, failed.code], [body.task_id, 'source_not_found']);
    assert.ok(failed.reason);
    const loud = log.filter(({ level, err }) => level === 'error' || err?.stack);
    assert.deepEqual(loud, []);
  });
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
