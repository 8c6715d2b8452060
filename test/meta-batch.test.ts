import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Emulator } from '../src/emulator/emulator.ts';
import { sampleMp4, samplePng } from './support/media-samples.ts';
import { completes, isIdle, untilBackend, untilTrue } from './support/pool-scene.ts';
import { SourceServer } from './support/source-server.ts';
import { createTestDatabase } from './support/test-database.ts';
import { TestGateway } from './support/test-gateway.ts';
import { createTestWorkflows } from './support/test-workflows.ts';

/** Works on four frames at a time, with a rest in each batch. */
function batched(seconds: number) {
  const batch = ['9', 0];
  return {
    '9': { class_type: 'VHS_BatchManager', inputs: { frames_per_batch: 4 } },
    '1': {
      class_type: 'VHS_LoadVideo',
      inputs: {
        ...{ video: 'x.mp4', force_rate: 0, custom_width: 0, custom_height: 0 },
        ...{ frame_load_cap: 0, skip_first_frames: 0, select_every_nth: 1, meta_batch: batch },
      },
    },
    '3': { class_type: 'EmulatorSleep', inputs: { image: ['1', 0], seconds, ticks: 20 } },
    '2': {
      class_type: 'VHS_VideoCombine',
      inputs: {
        ...{ images: ['3', 0], meta_batch: batch, frame_rate: 10, loop_count: 0 },
        ...{ filename_prefix: 'v', format: 'video/h264-mp4', pix_fmt: 'yuv420p', crf: 19 },
        ...{ save_metadata: true, trim_to_audio: false, pingpong: false, save_output: true },
      },
    },
  };
}

describe('a clip in batches', () => {
  const cleanup = new AsyncDisposableStack();
  let emulator: Emulator;
  let clip: string;
  let picture: string;
  let open: () => Promise<TestGateway>;
  let gateway: TestGateway;

  before(async () => {
    emulator = cleanup.use(await Emulator.start({ hasJobs: true }));
    const sources = cleanup.use(await SourceServer.start());
    const workflows = cleanup.use(await createTestWorkflows(0.02));
    await workflows.write('batched', batched(0.1));
    await workflows.write('slow', batched(0.6));
    clip = sources.file(
      'a.mp4',
      await sampleMp4({ width: 64, height: 48, frames: 10, fps: 10, seed: 1 }),
    );
    picture = sources.file('a.png', await samplePng({ width: 16, height: 16 }));
    const dataDir = await mkdtemp(join(tmpdir(), 'tmlsr-batches-'));
    cleanup.defer(() => rm(dataDir, { recursive: true, force: true }));
    const database = cleanup.use(await createTestDatabase('postgres'));
    const env = { SOURCE_ALLOW: sources.host, WORKFLOWS_DIR: workflows.folder };
    open = async () => {
      const backends = [emulator.url];
      const opened = await TestGateway.start({
        engine: 'postgres',
        backends,
        database,
        dataDir,
        env,
      });
      await untilBackend(opened, emulator.url, ({ state }) => state !== 'offline');
      return opened;
    };
    gateway = await open();
  });
  after(async () => {
    await gateway[Symbol.asyncDispose]();
    await cleanup.disposeAsync();
  });

  const outcomes = (since: number) => emulator.runs.slice(since).map(({ status }) => status);
  const submit = (workflow: string) => gateway.submit({ url: clip, workflow });

  it('is followed to its end, with the GPU its own and counted', async () => {
    const since = emulator.runs.length;
    const first = await submit('batched');
    const next = await gateway.submit({ url: picture, workflow: 'sleep' });
    const { output } = await completes(gateway, first);
    assert.equal(output?.metadata.frames, 10);
    await completes(gateway, next);
    assert.deepEqual(outcomes(since), ['success', 'success', 'success', 'success']);
    const runs = emulator.runs.slice(since, since + 3);
    const computed = runs.reduce(
      (sum, { startedAt, endedAt }) => sum + (endedAt ?? 0) - startedAt,
      0,
    );
    const { body } = await gateway.call('GET', '/usage?by=workflow');
    const usage = body.usage.find((row: { workflow: string }) => row.workflow === 'batched');
    assert.ok(
      usage.gpu_seconds * 1_000 > computed * 0.9,
      `${usage.gpu_seconds} s of ${computed} ms`,
    );
    // Nothing of it is kept in the server's memory.
    await untilTrue(async () => {
      const history = await fetch(`${emulator.url}/history`);
      return Object.keys((await history.json()) as object).length === 0;
    });
  });

  it('is canceled in the middle of a batch that nobody asked for', async () => {
    const since = emulator.runs.length;
    const id = await submit('slow');
    await untilTrue(() => outcomes(since).join() === 'success,running');
    await gateway.call('DELETE', `/tasks/${id}`);
    await untilBackend(gateway, emulator.url, isIdle);
    assert.deepEqual(outcomes(since), ['success', 'interrupted']);
    const queue = await (await fetch(`${emulator.url}/queue`)).json();
    assert.deepEqual(queue, { queue_running: [], queue_pending: [] });
  });

  it('is followed by the gateway that comes after one that has gone', async () => {
    const since = emulator.runs.length;
    const id = await submit('slow');
    await untilTrue(() => outcomes(since).join() === 'success,running');
    await gateway[Symbol.asyncDispose]();
    gateway = await open();
    const { output, retries } = await completes(gateway, id);
    assert.deepEqual([output?.metadata.frames, retries], [10, 0]);
    assert.deepEqual(outcomes(since), ['success', 'success', 'success']);
  });
});
