import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { request } from 'undici';
import { Emulator } from '../src/emulator/emulator.ts';
import { eventually } from './support/eventually.ts';
import { samplePng } from './support/media-samples.ts';
import { patienceMs } from './support/patience.ts';
import { SourceServer } from './support/source-server.ts';
import { enginesAboveStores } from './support/test-database.ts';
import { TestGateway } from './support/test-gateway.ts';
import { createTestWorkflows } from './support/test-workflows.ts';

for (const engine of enginesAboveStores) {
  describe(`canceling on ${engine}`, () => {
    const cleanup = new AsyncDisposableStack();
    let emulators: Emulator[];
    let sources: SourceServer;
    let gateway: TestGateway;
    let url: string;

    before(async () => {
      emulators = [cleanup.use(await Emulator.start()), cleanup.use(await Emulator.start())];
      sources = cleanup.use(await SourceServer.start());
      const workflows = cleanup.use(await createTestWorkflows(0.15));
      gateway = cleanup.use(
        await TestGateway.start({
          engine,
          backends: emulators.map(({ url }) => url),
          env: { SOURCE_ALLOW: sources.host, WORKFLOWS_DIR: workflows.folder },
        }),
      );
      await workflows.write('long', {
        '1': { class_type: 'LoadImage', inputs: { image: 'input.png' } },
        '2': { class_type: 'EmulatorSleep', inputs: { image: ['1', 0], seconds: 60, ticks: 600 } },
        '3': { class_type: 'SaveImage', inputs: { images: ['2', 0], filename_prefix: 'out' } },
      });
      url = sources.file('a.png', await samplePng({ width: 16, height: 16, seed: 1 }));
      await eventually(async () => {
        const { status } = await gateway.call('GET', '/workflows/long');
        assert.equal(status, 200);
      });
    });
    after(() => cleanup.disposeAsync());

    const long = () => gateway.submit({ url, workflow: 'long' });
    const cancel = (id: string) => gateway.call('DELETE', `/tasks/${id}`);

    it('ends a waiting task at once', async () => {
      const running = [await long(), await long()];
      const waiting = await long();
      assert.deepEqual((await cancel(waiting)).body, { status: 'canceled' });
      const task = await gateway.task(waiting);
      assert.equal(task.status, 'canceled');
      assert.ok(task.stages.every(({ status }) => status === 'skipped'));
      for (const id of running) await cancel(id);
    });

    it('interrupts exactly the prompt of a running task', async () => {
      const [one, other] = [await long(), await long()];
      const isRunning = (id: string) =>
        gateway.until(id, ({ stages }) => stages[1]?.status === 'running');
      await isRunning(one);
      await isRunning(other);
      await cancel(one);
      await queuesHold(emulators, 1);
      assert.equal((await gateway.task(other)).status, 'processing');
      await cancel(other);
      await queuesHold(emulators, 0);
    });

    it('stops a download', async () => {
      const slow = sources.answer('slow.png', (_request, response) => {
        response.writeHead(200, { 'content-length': 1_000_000 });
        response.write(Buffer.alloc(1_000));
      });
      const id = await gateway.submit({ url: slow, workflow: 'long' });
      await gateway.until(id, ({ stages }) => stages[0]?.status === 'running');
      await cancel(id);
      await spoolIsEmpty(gateway);
    });

    it('says so when the task is over', async () => {
      const id = await gateway.submit({ url, workflow: 'sleep' });
      await gateway.until(id);
      const { status, body } = await cancel(id);
      assert.equal(status, 409);
      assert.equal(body.code, 'task_already_ended');
      assert.match(body.message, /completed/);
    });

    it('is no error the second time', async () => {
      const id = await long();
      await cancel(id);
      const { status, body } = await cancel(id);
      assert.equal(status, 200);
      assert.deepEqual(body, { status: 'canceled' });
    });

    it('leaves each of 50 tasks canceled or completed, whenever it comes', async () => {
      const picture = sources.file('b.png', await samplePng({ width: 32, height: 32, seed: 2 }));
      const ids: string[] = [];
      await Promise.all(
        Array.from({ length: 50 }, async (_, i) => {
          await delay(i * 60);
          const workflow = i % 3 === 0 ? 'esrgan_image_2x' : 'sleep';
          const id = await gateway.submit({ url: picture, workflow });
          ids.push(id);
          // From at once to well after its end.
          await delay((i * 7919) % 2_500);
          await cancel(id);
        }),
      );
      const states = await Promise.all(ids.map(async (id) => (await gateway.until(id)).status));
      assert.ok(states.every((state) => state === 'canceled' || state === 'completed'));
      assert.ok(states.includes('canceled'), 'none was canceled in time');
      await queuesHold(emulators, 0);
      await spoolIsEmpty(gateway);
      const { body } = await gateway.call('GET', '/monitor/stats');
      assert.ok(
        body.tasks.every(({ stages }: { stages: { status: string }[] }) =>
          stages.every(({ status }) => status !== 'running' && status !== 'pending'),
        ),
      );
    });
  });
}

/** How many prompts the backends have in their queues, once it is as many as wanted. */
async function queuesHold(emulators: Emulator[], wanted: number): Promise<void> {
  const deadline = Date.now() + patienceMs;
  for (;;) {
    const counts = await Promise.all(
      emulators.map(async ({ url }) => {
        const { body } = await request(`${url}/queue`);
        const queue = (await body.json()) as Record<string, unknown[]>;
        return (queue.queue_running?.length ?? 0) + (queue.queue_pending?.length ?? 0);
      }),
    );
    const held = counts.reduce((sum, count) => sum + count, 0);
    if (held === wanted) return;
    assert.ok(Date.now() < deadline, `${held} prompts are in the queues, not ${wanted}`);
    await delay(50);
  }
}

async function spoolIsEmpty(gateway: TestGateway): Promise<void> {
  const deadline = Date.now() + patienceMs;
  for (;;) {
    const files = await gateway.spooled();
    if (files.length === 0) return;
    assert.ok(Date.now() < deadline, `still spooled: ${files}`);
    await delay(50);
  }
}
