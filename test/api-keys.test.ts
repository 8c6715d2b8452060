import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { request } from 'undici';
import { Emulator } from '../src/emulator/emulator.ts';
import { GatewayClient } from './support/gateway-client.ts';
import { samplePng } from './support/media-samples.ts';
import { SourceServer } from './support/source-server.ts';
import { TestGateway } from './support/test-gateway.ts';
import { createTestWorkflows } from './support/test-workflows.ts';

const keys = {
  alice: 'alice-secret-0123456789',
  bob: 'bob-secret-0123456789',
  ops: 'ops-secret-0123456789',
};

describe('API keys', () => {
  const cleanup = new AsyncDisposableStack();
  let emulator: Emulator;
  let gateway: TestGateway;
  let url: string;

  before(async () => {
    emulator = cleanup.use(await Emulator.start());
    const sources = cleanup.use(await SourceServer.start());
    const workflows = cleanup.use(await createTestWorkflows(0.3));
    url = sources.file('a.png', await samplePng({ width: 16, height: 16, seed: 1 }));
    gateway = cleanup.use(
      await TestGateway.start({
        engine: 'postgres',
        backends: [emulator.url],
        env: {
          SOURCE_ALLOW: sources.host,
          WORKFLOWS_DIR: workflows.folder,
          API_KEYS: `alice:${keys.alice},bob:${keys.bob}`,
          OPERATOR_KEYS: `ops:${keys.ops}`,
        },
      }),
    );
  });
  after(() => cleanup.disposeAsync());

  type Name = keyof typeof keys;

  async function ask(who: Name | null, method: 'GET' | 'POST' | 'DELETE', path: string, body = {}) {
    const client = new GatewayClient(gateway.url, who && keys[who]);
    return await client.call(method, path, method === 'POST' ? body : undefined);
  }

  async function submit(who: Name): Promise<string> {
    return await new GatewayClient(gateway.url, keys[who]).submit({ url, workflow: 'sleep' });
  }

  async function completed(who: Name, id: string) {
    const task = await new GatewayClient(gateway.url, keys[who]).until(id);
    assert.equal(task.status, 'completed', task.error ?? '');
    return task;
  }

  it('lets nobody in without one, but to see whether it runs', async () => {
    for (const [method, path] of [
      ['POST', '/tasks'],
      ['GET', '/tasks/f692edeb41cb4a3eaebd2db0044c0778'],
      ['GET', '/monitor/stats'],
      ['GET', '/backends'],
    ] as const) {
      const { status, body } = await ask(null, method, path, { url, workflow: 'sleep' });
      assert.equal(status, 401, path);
      assert.equal(body.code, 'unauthorized');
    }
    const guess = await request(`${gateway.url}/monitor/stats`, { headers: { 'x-api-key': 'x' } });
    assert.equal(guess.statusCode, 401);
    assert.equal(guess.headers['www-authenticate'], 'Bearer error="invalid_token"');
    await guess.body.dump();
    assert.equal((await ask(null, 'GET', '/health')).status, 200);
  });

  it('takes a key in either header', async () => {
    for (const headers of [
      { 'x-api-key': keys.bob },
      { authorization: `Bearer ${keys.bob}` },
      { authorization: `bearer   ${keys.bob}` },
    ]) {
      const { statusCode, body } = await request(`${gateway.url}/monitor/stats`, { headers });
      await body.dump();
      assert.equal(statusCode, 200);
    }
  });

  it("shows a tenant its own tasks only, and an operator everybody's", async () => {
    const id = await submit('alice');
    const path = `/tasks/${id}`;
    assert.equal((await ask('bob', 'GET', path)).body.code, 'task_not_found');
    assert.equal((await ask('bob', 'DELETE', path)).status, 404);
    assert.equal((await ask('ops', 'GET', path)).status, 200);
    const listed = async (who: Name) =>
      (await ask(who, 'GET', '/monitor/stats')).body.tasks.map(
        (task: { task_id: string }) => task.task_id,
      );
    assert.ok((await listed('alice')).includes(id));
    assert.ok((await listed('ops')).includes(id));
    assert.ok(!(await listed('bob')).includes(id));
    const { output } = await completed('alice', id);
    // The link is the secret.
    const object = await request(output?.url ?? '');
    await object.body.dump();
    assert.equal(object.statusCode, 200);
  });

  it('lets only operators look at the pool and change it', async () => {
    assert.equal((await ask('alice', 'GET', '/backends')).body.code, 'forbidden');
    assert.equal((await ask('alice', 'POST', '/backends', { url: 'http://x:1' })).status, 403);
    assert.equal((await ask('ops', 'GET', '/backends')).status, 200);
  });

  it('gives tenants equal shares, however many tasks each has', async () => {
    const many = [];
    for (let i = 0; i < 8; i += 1) many.push(await submit('alice'));
    const few = [await submit('bob'), await submit('bob')];
    const runsBefore = emulator.runs.length;
    const ended: string[] = [];
    await Promise.all([
      ...many.map((id) => completed('alice', id).then(() => ended.push('alice'))),
      ...few.map((id) => completed('bob', id).then(() => ended.push('bob'))),
    ]);
    assert.ok(emulator.runs.length > runsBefore);
    // Two of alice's may be on their way when bob comes; then they take turns.
    assert.ok(ended.lastIndexOf('bob') <= 6, ended.join());
  });
});
