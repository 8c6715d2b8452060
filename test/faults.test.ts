import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Emulator } from '../src/emulator/emulator.ts';
import { samplePng } from './support/media-samples.ts';
import { patienceMs } from './support/patience.ts';
import { SourceServer } from './support/source-server.ts';
import { createTestDatabase, enginesAboveStores } from './support/test-database.ts';
import { TestGateway, type TestGatewayOptions } from './support/test-gateway.ts';
import { createTestWorkflows } from './support/test-workflows.ts';

for (const engine of enginesAboveStores) {
  describe(`faults, on ${engine}`, () => {
    let cleanup: AsyncDisposableStack;
    let emulator: Emulator;
    let url: string;
    let options: TestGatewayOptions;

    beforeEach(async () => {
      cleanup = new AsyncDisposableStack();
      emulator = cleanup.use(await Emulator.start());
      const sources = cleanup.use(await SourceServer.start());
      const workflows = cleanup.use(await createTestWorkflows(1.5));
      const dataDir = await mkdtemp(join(tmpdir(), 'tmlsr-data-'));
      cleanup.defer(() => rm(dataDir, { recursive: true, force: true }));
      const database = cleanup.use(await createTestDatabase(engine));
      url = sources.file('a.png', await samplePng({ width: 16, height: 16, seed: 1 }));
      options = {
        engine,
        database,
        dataDir,
        backends: [emulator.url],
        env: { SOURCE_ALLOW: sources.host, WORKFLOWS_DIR: workflows.folder },
      };
    });
    afterEach(() => cleanup.disposeAsync());

    const isProcessing = ({ stages }: { stages: readonly { status: string }[] }) =>
      stages[1]?.status === 'running';

    async function promptRuns(): Promise<void> {
      const deadline = Date.now() + patienceMs;
      while (emulator.runs.length === 0) {
        assert.ok(Date.now() < deadline, 'no prompt began');
        await delay(10);
      }
    }

    it('finds the end of a prompt over HTTP when the WebSocket is mute', async () => {
      await using gateway = await TestGateway.start(options);
      emulator.faults.muteSockets(true);
      const task = await gateway.until(await gateway.submit({ url, workflow: 'sleep' }));
      assert.equal(task.status, 'completed', task.error ?? '');
      assert.equal(emulator.runs.length, 1);
    });

    it('goes on when the WebSocket drops in the middle', async () => {
      await using gateway = await TestGateway.start(options);
      const id = await gateway.submit({ url, workflow: 'sleep' });
      await promptRuns();
      emulator.faults.dropSockets();
      assert.equal((await gateway.until(id)).status, 'completed');
      assert.equal(emulator.runs.length, 1);
    });

    it('runs a task again when its backend restarts and has lost the prompt', async () => {
      await using gateway = await TestGateway.start(options);
      const id = await gateway.submit({ url, workflow: 'sleep' });
      await promptRuns();
      await emulator.faults.restart({ refuseMs: 300 });
      const task = await gateway.until(id);
      assert.equal(task.status, 'completed', task.error ?? '');
      assert.equal(task.retries, 1);
      assert.equal(emulator.runs.length, 2);
    });

    it('tries a failed node once more, then tells its name and its message', async () => {
      await using gateway = await TestGateway.start(options);
      emulator.faults.failNode('EmulatorSleep', 'tensor of /srv/models/x.pth is odd', 2);
      const task = await gateway.until(await gateway.submit({ url, workflow: 'sleep' }));
      assert.equal(task.status, 'failed');
      assert.equal(task.error_code, 'execution_failed');
      assert.match(task.error ?? '', /EmulatorSleep failed: tensor of … is odd/);
      assert.equal(task.retries, 1);
      assert.deepEqual(
        task.stages.map(({ status }) => status),
        ['success', 'failed', 'skipped'],
      );
    });

    it('comes through when memory runs out once', async () => {
      await using gateway = await TestGateway.start(options);
      emulator.faults.runOutOfMemory(1);
      const task = await gateway.until(await gateway.submit({ url, workflow: 'sleep' }));
      assert.equal(task.status, 'completed');
      assert.equal(task.retries, 1);
    });

    it('repeats a truncated transfer without a second run', async () => {
      await using gateway = await TestGateway.start(options);
      emulator.faults.truncateViews(1);
      const task = await gateway.until(await gateway.submit({ url, workflow: 'sleep' }));
      assert.equal(task.status, 'completed', task.error ?? '');
      assert.equal(emulator.runs.length, 1);
    });

    it('adopts the prompt that a gateway left running when it was stopped', async () => {
      const first = await TestGateway.start(options);
      const id = await first.submit({ url, workflow: 'sleep' });
      const waiting = await first.submit({ url, workflow: 'sleep' });
      await first.until(id, isProcessing);
      await promptRuns();
      await first[Symbol.asyncDispose]();
      await using second = await TestGateway.start(options);
      const task = await second.until(id);
      assert.equal(task.status, 'completed', task.error ?? '');
      assert.equal(task.retries, 0);
      assert.equal((await second.until(waiting)).status, 'completed');
      assert.equal(emulator.runs.length, 2);
    });

    it('keeps tasks waiting while no backend is there', async () => {
      await using gateway = await TestGateway.start(options);
      const restarted = emulator.faults.restart({ refuseMs: 1_500 });
      const id = await gateway.submit({ url, workflow: 'sleep' });
      await delay(300);
      const { body } = await gateway.call('GET', '/monitor/stats');
      assert.equal(body.pool_status[0].status, 'offline');
      await restarted;
      assert.equal((await gateway.until(id)).status, 'completed');
    });
  });
}
