import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Emulator } from '../src/emulator/emulator.ts';
import { samplePng } from './support/media-samples.ts';
import { PostgresServer } from './support/postgres-server.ts';
import { SourceServer } from './support/source-server.ts';
import { TestGateway } from './support/test-gateway.ts';
import { createTestWorkflows } from './support/test-workflows.ts';

describe('the loss of the database', () => {
  const cleanup = new AsyncDisposableStack();
  let server: PostgresServer;
  let emulator: Emulator;
  let gateway: TestGateway;
  let url: string;

  before(async () => {
    server = cleanup.use(await PostgresServer.start());
    emulator = cleanup.use(await Emulator.start());
    const sources = cleanup.use(await SourceServer.start());
    const workflows = cleanup.use(await createTestWorkflows(1.5));
    url = sources.file('a.png', await samplePng({ width: 16, height: 16, seed: 1 }));
    gateway = cleanup.use(
      await TestGateway.start({
        engine: 'postgres',
        backends: [emulator.url],
        env: {
          DATABASE_URL: server.url,
          SOURCE_ALLOW: sources.host,
          WORKFLOWS_DIR: workflows.folder,
        },
      }),
    );
  });
  after(() => cleanup.disposeAsync());

  it('loses no task, runs no prompt twice, and is told as 503 meanwhile', async () => {
    const running = await gateway.submit({ url, workflow: 'sleep' });
    const waiting = await gateway.submit({ url, workflow: 'sleep' });
    await gateway.until(running, ({ stages }) => stages[1]?.status === 'running');
    assert.equal((await gateway.call('GET', '/ready')).status, 200);
    await server.crash();
    for (const path of [`/tasks/${running}`, '/monitor/stats', '/ready']) {
      const { status, body } = await gateway.call('GET', path);
      assert.equal(status, 503);
      assert.equal(body.code, 'unavailable');
      if (path === '/ready') assert.equal(body.checks.database.ok, false);
    }
    const refused = await gateway.call('POST', '/tasks', { url, workflow: 'sleep' });
    assert.equal(refused.status, 503);
    assert.equal((await gateway.call('GET', '/health')).status, 200);
    // The prompt ends while nobody can write it down.
    await delay(3_000);
    await server.resume();
    assert.equal((await gateway.call('GET', '/ready')).status, 200);
    const [first, second] = [await gateway.until(running), await gateway.until(waiting)];
    assert.equal(first.status, 'completed', first.error ?? '');
    assert.equal(first.retries, 0);
    assert.equal(second.status, 'completed', second.error ?? '');
    assert.equal(emulator.runs.length, 2);
  });
});
