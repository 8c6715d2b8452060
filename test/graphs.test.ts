import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Graph } from '../src/core/graph.ts';
import { Emulator } from '../src/emulator/emulator.ts';
import type { TaskBody } from './support/gateway-client.ts';
import { sampleMp4, samplePng } from './support/media-samples.ts';
import { backendsOf, completes, isIdle, untilBackend, untilTrue } from './support/pool-scene.ts';
import { SourceServer } from './support/source-server.ts';
import { createTestDatabase } from './support/test-database.ts';
import { TestGateway } from './support/test-gateway.ts';
import { createTestWorkflows, type TestWorkflows } from './support/test-workflows.ts';
import { vhsCombines, vhsLoadsAsItIs } from './support/vhs-values.ts';

const load = { class_type: 'LoadImage', inputs: { image: 'a.png' } };
const save = (from: string) => ({
  class_type: 'SaveImage',
  inputs: { images: [from, 0], filename_prefix: 'out' },
});
const preview = (from: string) => ({ class_type: 'PreviewImage', inputs: { images: [from, 0] } });
const scaled = (from: string) => ({
  class_type: 'ImageScaleBy',
  inputs: { image: [from, 0], upscale_method: 'bilinear', scale_by: 2 },
});

const graphs = {
  /** As a file for 0.3.64, with a model that was packed anew since. */
  older: {
    '1': load,
    '2': { class_type: 'UpscaleModelLoader', inputs: { model_name: 'RealESRGAN_x2plus.pth' } },
    '3': {
      class_type: 'ImageUpscaleWithModel',
      inputs: { upscale_model: ['2', 0], image: ['1', 0] },
    },
    '4': {
      class_type: 'ImageScaleToTotalPixels',
      inputs: { image: ['3', 0], upscale_method: 'bilinear', megapixels: 0.01 },
    },
    '5': save('4'),
  },
  /** Looks at what it does on the way. */
  looking: {
    '1': load,
    '2': scaled('1'),
    '3': preview('2'),
    '4': scaled('1'),
    '5': preview('4'),
    '6': save('2'),
  },
  /** Looks at what it goes on with: newer versions pass it on. */
  through: { '1': load, '2': preview('1'), '3': scaled('2'), '4': save('3') },
  /** Shows its result, and keeps nothing. */
  showing: { '1': load, '2': { ...preview('1'), _meta: { title: '@output' } } },
  /** Chooses, and does not say what belongs to the choice. */
  unsaid: {
    '1': load,
    '2': {
      class_type: 'ResizeImageMaskNode',
      inputs: { input: ['1', 0], resize_type: 'scale longer dimension', scale_method: 'lanczos' },
    },
    '3': save('2'),
  },
  foreign: {
    '1': load,
    '2': { class_type: 'NoSuchNode', inputs: { image: ['1', 0] } },
    '3': { class_type: 'NorThisOne', inputs: { image: ['2', 0] } },
    '4': save('3'),
  },
};

/** Works on four frames at a time, with a rest in each batch. */
function batched(seconds: number) {
  const batch = ['9', 0];
  return {
    '9': { class_type: 'VHS_BatchManager', inputs: { frames_per_batch: 4 } },
    '1': {
      class_type: 'VHS_LoadVideo',
      inputs: { video: 'x.mp4', ...vhsLoadsAsItIs, meta_batch: batch },
    },
    '3': { class_type: 'EmulatorSleep', inputs: { image: ['1', 0], seconds, ticks: 20 } },
    '2': {
      class_type: 'VHS_VideoCombine',
      inputs: {
        ...{ images: ['3', 0], meta_batch: batch, ...vhsCombines, filename_prefix: 'v' },
        ...{ pix_fmt: 'yuv420p', crf: 19, save_metadata: true, trim_to_audio: false },
      },
    },
  };
}

describe('a graph', () => {
  const cleanup = new AsyncDisposableStack();
  let older: Emulator;
  let newer: Emulator;
  let workflows: TestWorkflows;
  let open: () => Promise<TestGateway>;
  let gateway: TestGateway;
  let url: string;
  let clip: string;

  before(async () => {
    older = cleanup.use(await Emulator.start({ loaders: '0.3.64' }));
    const renamedModels = { 'RealESRGAN_x2plus.pth': 'RealESRGAN_x2plus.safetensors' };
    newer = cleanup.use(await Emulator.start({ renamedModels, hasJobs: true }));
    const sources = cleanup.use(await SourceServer.start());
    workflows = cleanup.use(await createTestWorkflows(0.02));
    const all = { ...graphs, batched: batched(0.05), slow: batched(0.4) };
    for (const [name, graph] of Object.entries(all)) await workflows.write(name, graph);
    url = sources.file('a.png', await samplePng({ width: 16, height: 12, seed: 1 }));
    clip = sources.file(
      'a.mp4',
      await sampleMp4({ width: 64, height: 48, frames: 10, fps: 10, seed: 1 }),
    );
    const dataDir = await mkdtemp(join(tmpdir(), 'tmlsr-graphs-'));
    cleanup.defer(() => rm(dataDir, { recursive: true, force: true }));
    const database = cleanup.use(await createTestDatabase('postgres'));
    const env = { SOURCE_ALLOW: sources.host, WORKFLOWS_DIR: workflows.folder };
    const backends = [older.url, newer.url];
    open = () => TestGateway.start({ engine: 'postgres', backends, database, dataDir, env });
    gateway = await open();
    for (const address of backends) await untilBackend(gateway, address, isIdle);
  });
  after(async () => {
    await gateway[Symbol.asyncDispose]();
    await cleanup.disposeAsync();
  });

  /** The result, and the graph that the server got. */
  async function run(workflow: string): Promise<{ task: TaskBody; graph: Graph }> {
    const task = await completes(
      gateway,
      await gateway.submit({ url, workflow, keep_metadata: true }),
    );
    const result = await fetch(task.output?.url ?? '');
    return { task, graph: graphIn(Buffer.from(await result.arrayBuffer())) };
  }

  async function only(emulator: Emulator): Promise<void> {
    for (const { id, address } of await backendsOf(gateway)) {
      const wanted = address === emulator.url ? 'active' : 'draining';
      await gateway.call('PATCH', `/backends/${id}`, { wanted });
    }
    await untilBackend(gateway, emulator.url, isIdle);
  }

  it('gets the names and the inputs that each server has', async () => {
    const { body } = await gateway.call('GET', '/workflows/older');
    assert.deepEqual([body.runs_on, body.of], [2, 2], JSON.stringify(body.why_not));
    await only(older);
    const before = await run('older');
    assert.deepEqual(before.graph['2']?.inputs, graphs.older['2'].inputs);
    assert.equal(before.graph['4']?.inputs.resolution_steps, undefined);
    await only(newer);
    const after = await run('older');
    assert.deepEqual(after.graph['2']?.inputs, { model_name: 'RealESRGAN_x2plus.safetensors' });
    assert.equal(after.graph['4']?.inputs.resolution_steps, 1);
    assert.equal(after.task.workflow_hash, before.task.workflow_hash);
  });

  it('goes without previews that nobody sees, unless they are the result', async () => {
    await only(newer);
    const { graph } = await run('looking');
    assert.deepEqual(Object.keys(graph), ['1', '2', '6']);
    const through = await run('through');
    assert.deepEqual(Object.keys(through.graph), ['1', '2', '3', '4']);
    const shown = await run('showing');
    assert.deepEqual(Object.keys(shown.graph), ['1', '2']);
  });

  it('is refused for what it does not say inside a choice, by the name of that input', async () => {
    const { status, body } = await gateway.call('POST', '/tasks', { url, workflow: 'unsaid' });
    assert.equal(status, 503, JSON.stringify(body));
    assert.match(JSON.stringify(body), /lacks its input resize_type\.longer_size/);
  });

  it('is refused with the names of all classes that are missing', async () => {
    const { body } = await gateway.call('POST', '/tasks', { url, workflow: 'foreign' });
    assert.match(JSON.stringify(body), /NoSuchNode.*NorThisOne/);
  });

  const outcomes = (since: number) => newer.runs.slice(since).map(({ status }) => status);
  const submit = (workflow: string) => gateway.submit({ url: clip, workflow });

  describe('with a Meta Batch', () => {
    before(() => only(newer));

    it('is followed to its end, with the GPU its own and counted', async () => {
      const since = newer.runs.length;
      const first = await submit('batched');
      const next = await gateway.submit({ url, workflow: 'sleep' });
      const { output } = await completes(gateway, first);
      assert.equal(output?.metadata.frames, 10);
      await completes(gateway, next);
      assert.deepEqual(outcomes(since), ['success', 'success', 'success', 'success']);
      const runs = newer.runs.slice(since, since + 3);
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
        const history = await fetch(`${newer.url}/history`);
        return Object.keys((await history.json()) as object).length === 0;
      });
    });

    it('is canceled in the middle of a batch that nobody asked for', async () => {
      const since = newer.runs.length;
      const id = await submit('slow');
      await untilTrue(() => outcomes(since).join() === 'success,running');
      await gateway.call('DELETE', `/tasks/${id}`);
      await untilBackend(gateway, newer.url, isIdle);
      assert.deepEqual(outcomes(since), ['success', 'interrupted']);
      const queue = await (await fetch(`${newer.url}/queue`)).json();
      assert.deepEqual(queue, { queue_running: [], queue_pending: [] });
    });

    it('is followed by the gateway that comes after one that has gone', async () => {
      const since = newer.runs.length;
      const id = await submit('slow');
      await untilTrue(() => outcomes(since).join() === 'success,running');
      await gateway[Symbol.asyncDispose]();
      gateway = await open();
      const { output, retries } = await completes(gateway, id);
      assert.deepEqual([output?.metadata.frames, retries], [10, 0]);
      assert.deepEqual(outcomes(since), ['success', 'success', 'success']);
    });
  });
});

function graphIn(png: Buffer): Graph {
  const at = png.indexOf('tEXtprompt\0');
  assert.ok(at > 0, 'it holds no graph');
  const from = at + 'tEXtprompt\0'.length;
  return JSON.parse(png.toString('latin1', from, at + 4 + png.readUInt32BE(at - 4)));
}
