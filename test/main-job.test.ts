import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import sharp from 'sharp';
import { request } from 'undici';
import { Emulator } from '../src/emulator/emulator.ts';
import { eventually } from './support/eventually.ts';
import { sampleMp4, samplePng } from './support/media-samples.ts';
import { SourceServer } from './support/source-server.ts';
import { engines } from './support/test-database.ts';
import { TestGateway } from './support/test-gateway.ts';
import { createTestWorkflows, sleepGraph, type TestWorkflows } from './support/test-workflows.ts';

for (const engine of engines) {
  describe(`the main job on ${engine}`, () => {
    const cleanup = new AsyncDisposableStack();
    let emulators: Emulator[];
    let sources: SourceServer;
    let workflows: TestWorkflows;
    let gateway: TestGateway;

    before(async () => {
      emulators = [cleanup.use(await Emulator.start()), cleanup.use(await Emulator.start())];
      sources = cleanup.use(await SourceServer.start());
      workflows = cleanup.use(await createTestWorkflows(0.5));
      gateway = cleanup.use(
        await TestGateway.start({
          engine,
          backends: emulators.map(({ url }) => url),
          env: { SOURCE_ALLOW: sources.host, WORKFLOWS_DIR: workflows.folder },
        }),
      );
    });
    after(() => cleanup.disposeAsync());

    it('makes a picture four times as wide and high, and serves it', async () => {
      const png = await samplePng({ width: 64, height: 48, seed: 1 });
      const url = sources.file('my photo.png', png);
      const id = await gateway.submit({ url, type: 'image' });
      const task = await gateway.until(id);
      assert.equal(task.status, 'completed', task.error ?? '');
      assert.deepEqual(
        task.stages.map(({ name, status, progress }) => [name, status, progress]),
        [
          ['download', 'success', 100],
          ['process', 'success', 100],
          ['upload', 'success', 100],
        ],
      );
      assert.ok(task.stages.every(({ duration }) => duration !== null && duration >= 0));
      assert.equal(task.retries, 0);
      assert.deepEqual(task.params, { url, type: 'image' });
      const { metadata } = task.output ?? {};
      assert.equal(metadata.width, 256);
      assert.equal(metadata.height, 192);
      assert.deepEqual(metadata.input, { kind: 'image', format: 'png', width: 64, height: 48 });

      const response = await request(task.output?.url ?? '');
      const bytes = Buffer.from(await response.body.arrayBuffer());
      assert.equal(response.headers['content-type'], 'image/png');
      assert.equal(response.headers['x-content-type-options'], 'nosniff');
      assert.match(String(response.headers['content-security-policy']), /sandbox/);
      assert.equal(bytes.length, metadata.size_bytes);
      const { width, height } = await sharp(bytes).metadata();
      assert.deepEqual([width, height], [256, 192]);

      const part = await request(task.output?.url ?? '', { headers: { range: 'bytes=-10' } });
      assert.equal(part.statusCode, 206);
      assert.deepEqual(Buffer.from(await part.body.arrayBuffer()), bytes.subarray(-10));
      await eventually(async () => assert.deepEqual(await gateway.spooled(), []));
    });

    it('makes a clip twice as wide and high, with its frames and its sound', async () => {
      const clip = { width: 64, height: 48, frames: 6, fps: 12, audio: true };
      const url = sources.file('clip.mp4', await sampleMp4(clip));
      const task = await gateway.until(await gateway.submit({ url }));
      assert.equal(task.status, 'completed', task.error ?? '');
      const { metadata } = task.output ?? {};
      assert.equal(metadata.kind, 'video');
      assert.deepEqual([metadata.width, metadata.height], [128, 96]);
      assert.equal(metadata.frames, 6);
      assert.equal(metadata.fps, 12);
      assert.equal(metadata.has_audio, true);
    });

    it('gives the result the exact size that was asked for', async () => {
      const url = sources.file('a.png', await samplePng({ width: 50, height: 30, seed: 2 }));
      const wishes = [
        [{ outscale: 2 }, [100, 60]],
        [{ outscale: 4, output_magnification: 1.5 }, [75, 45]],
        [{ output_dims: [77, 33], output_magnification: 3 }, [77, 33]],
        [{ model: 'seedvr2', output_dims: [64, 64] }, [64, 64]],
      ] as const;
      for (const [wish, size] of wishes) {
        const task = await gateway.until(await gateway.submit({ url, type: 'image', ...wish }));
        assert.equal(task.status, 'completed', task.error ?? '');
        const { metadata } = task.output ?? {};
        assert.deepEqual([metadata.width, metadata.height], size);
      }
    });

    it('works on every backend at once, one prompt on each', async () => {
      const url = sources.file('b.png', await samplePng({ width: 16, height: 16, seed: 3 }));
      const before = emulators.map(({ runs }) => runs.length);
      const ids = await Promise.all(
        Array.from({ length: 6 }, () => gateway.submit({ url, type: 'image', workflow: 'sleep' })),
      );
      const busy = await gateway.call('GET', '/monitor/stats');
      assert.equal(busy.body.system.max_workers, 2);
      for (const id of ids) assert.equal((await gateway.until(id)).status, 'completed');
      const ran = emulators.map(({ runs }, i) => runs.length - (before[i] ?? 0));
      assert.deepEqual(ran, [3, 3]);
    });

    it('takes up a workflow that is dropped into the folder, and never a broken one', async () => {
      const url = sources.file('c.png', await samplePng({ width: 16, height: 16, seed: 4 }));
      const early = await gateway.call('POST', '/tasks', { url, type: 'image', workflow: 'mine' });
      assert.equal(early.status, 400);
      assert.equal(early.body.code, 'workflow_unknown');
      await workflows.write('mine', sleepGraph(0.01));
      await acceptedSoon(gateway, { url, type: 'image', workflow: 'mine.json' });
      await workflows.write('mine', '{"broken"');
      await workflows.write('yours', sleepGraph(0.02));
      await acceptedSoon(gateway, { url, workflow: 'yours' });
      const id = await gateway.submit({ url, workflow: 'mine' });
      assert.equal((await gateway.until(id)).status, 'completed');
    });

    it('tells the state of the whole', async () => {
      const { status, body } = await gateway.call('GET', '/monitor/stats');
      assert.equal(status, 200);
      assert.deepEqual(Object.keys(body.system), ['max_workers', 'active_workers', 'queue_size']);
      assert.deepEqual(
        body.pool_status.map(({ address }: { address: string }) => address).sort(),
        emulators.map(({ url }) => url).sort(),
      );
      assert.ok(body.pool_status.every((b: { status: string }) => b.status === 'idle'));
      assert.ok(body.stats.completed > 0);
      assert.ok(body.tasks.length > 0 && body.tasks.length <= 50);
      assert.equal((await gateway.call('GET', '/health')).body.status, 'ok');
      assert.equal((await gateway.call('GET', '/openapi.json')).body.openapi, '3.1.0');
    });
  });
}

async function acceptedSoon(gateway: TestGateway, task: Record<string, unknown>): Promise<void> {
  for (let tries = 0; ; tries += 1) {
    const { status, body } = await gateway.call('POST', '/tasks', task);
    if (status === 200) {
      assert.equal((await gateway.until(body.task_id)).status, 'completed');
      return;
    }
    assert.ok(tries < 100, `never accepted: ${JSON.stringify(body)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
