import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Emulator } from '../src/emulator/emulator.ts';
import { eventually } from './support/eventually.ts';
import type { TaskBody } from './support/gateway-client.ts';
import { samplePng } from './support/media-samples.ts';
import { SourceServer } from './support/source-server.ts';
import { TestGateway } from './support/test-gateway.ts';
import { createTestWorkflows, sleepGraph, type TestWorkflows } from './support/test-workflows.ts';

describe('staging', () => {
  let cleanup: AsyncDisposableStack;
  let emulators: Emulator[];
  let sources: SourceServer;
  let workflows: TestWorkflows;
  let url: string;

  beforeEach(async () => {
    cleanup = new AsyncDisposableStack();
    emulators = [cleanup.use(await Emulator.start()), cleanup.use(await Emulator.start())];
    sources = cleanup.use(await SourceServer.start());
    workflows = cleanup.use(await createTestWorkflows(0.6));
    await workflows.write('long', sleepGraph(4));
    url = sources.file('a.png', await samplePng({ width: 16, height: 16, seed: 1 }));
  });
  afterEach(() => cleanup.disposeAsync());

  async function startGateway(backends: readonly Emulator[]): Promise<TestGateway> {
    const gateway = await TestGateway.start({
      engine: 'postgres',
      backends: backends.map((emulator) => emulator.url),
      env: { SOURCE_ALLOW: sources.host, WORKFLOWS_DIR: workflows.folder },
    });
    cleanup.use(gateway);
    await delay(100);
    return gateway;
  }

  const isReady = ({ stages }: TaskBody) => stages[0]?.status === 'success';
  const isRunning = ({ stages }: TaskBody) => stages[1]?.status === 'running';

  it('makes the next task ready while the GPU works, and one only', async () => {
    const [emulator] = emulators as [Emulator];
    const gateway = await startGateway([emulator]);
    const first = await gateway.submit({ url, workflow: 'long' });
    await gateway.until(first, isRunning);
    const second = await gateway.submit({ url, workflow: 'sleep' });
    const third = await gateway.submit({ url, workflow: 'sleep' });
    const staged = await gateway.until(second, isReady);
    assert.equal(staged.stages[1]?.status, 'pending');
    assert.equal((await gateway.task(third)).status, 'pending');
    assert.equal(emulator.runs.length, 1);
    for (const id of [first, second, third]) {
      assert.equal((await gateway.until(id)).status, 'completed');
    }
    const starts = emulator.runs.map(({ startedAt }) => startedAt);
    const gap = (starts[1] ?? 0) - (emulator.runs[0]?.endedAt ?? 0);
    assert.ok(gap < 2_000, `the GPU was idle for ${gap} ms`);
  });

  it('moves a task that is ready to the backend that falls idle first', async () => {
    const gateway = await startGateway(emulators);
    const long = await gateway.submit({ url, workflow: 'long' });
    await gateway.until(long, isRunning);
    const short = await gateway.submit({ url, workflow: 'sleep' });
    await gateway.until(short, isRunning);
    // Two are made ready, one in front of each backend; both run where the short one was.
    const next = [
      await gateway.submit({ url, workflow: 'sleep' }),
      await gateway.submit({ url, workflow: 'sleep' }),
    ];
    for (const id of next) assert.equal((await gateway.until(id)).status, 'completed');
    assert.equal((await gateway.task(long)).status, 'processing');
    assert.deepEqual(emulators.map(({ runs }) => runs.length).sort(), [1, 3]);
    assert.equal((await gateway.until(long)).status, 'completed');
  });

  it('lets a canceled task give its seat to the next', async () => {
    const [emulator] = emulators as [Emulator];
    const gateway = await startGateway([emulator]);
    const running = await gateway.submit({ url, workflow: 'long' });
    await gateway.until(running, isRunning);
    const staged = await gateway.submit({ url, workflow: 'sleep' });
    await gateway.until(staged, isReady);
    const next = await gateway.submit({ url, workflow: 'sleep' });
    await gateway.call('DELETE', `/tasks/${staged}`);
    await gateway.until(next, isReady);
    assert.equal((await gateway.until(next)).status, 'completed');
    assert.equal(emulator.runs.length, 2);
    await eventually(async () => assert.deepEqual(await gateway.spooled(), []));
  });
});
