import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { Emulator } from '../src/emulator/emulator.ts';
import { eventually } from './support/eventually.ts';
import { GatewayClient, type TaskBody } from './support/gateway-client.ts';
import { sampleMp4, samplePng } from './support/media-samples.ts';
import { backendsOf, completes, untilTrue } from './support/pool-scene.ts';
import { SourceServer } from './support/source-server.ts';
import { testTempo } from './support/tempo.ts';
import { TestGateway } from './support/test-gateway.ts';
import { createTestWorkflows, type TestWorkflows } from './support/test-workflows.ts';

const keys = { alice: 'alice-secret-0123456789', bob: 'bob-secret-0123456789' };
/** Far less than any deadline of a transfer. */
const soonMs = 40_000;

/** All frames of a clip as pictures. */
const framesGraph = {
  '1': { class_type: 'LoadVideo', inputs: { file: 'input.mp4' } },
  '2': { class_type: 'GetVideoComponents', inputs: { video: ['1', 0] } },
  '3': { class_type: 'SaveImage', inputs: { images: ['2', 0], filename_prefix: 'out' } },
};

const uploadOf = ({ stages }: TaskBody) => stages[2];
const isUploading = (task: TaskBody) => uploadOf(task)?.status === 'running';

describe('slow transfers', () => {
  const cleanup = new AsyncDisposableStack();
  let sources: SourceServer;
  let workflows: TestWorkflows;
  let healthy: Emulator;
  let other: Emulator;
  let picture: string;
  let clip: string;
  let scene: AsyncDisposableStack;

  before(async () => {
    sources = cleanup.use(await SourceServer.start());
    workflows = cleanup.use(await createTestWorkflows(0.05));
    await workflows.write('frames', framesGraph);
    healthy = cleanup.use(await Emulator.start());
    other = cleanup.use(await Emulator.start());
    picture = sources.file('a.png', await samplePng({ width: 64, height: 64, seed: 1 }));
    const shape = { width: 64, height: 64, fps: 8, frames: 8 };
    clip = sources.file('a.mp4', await sampleMp4(shape));
  });
  beforeEach(() => {
    scene = new AsyncDisposableStack();
  });
  afterEach(async () => {
    for (const each of [healthy, other]) each.faults.dripViews(() => false);
    await scene.disposeAsync();
  });
  after(() => cleanup.disposeAsync());

  async function start(
    backends: readonly Emulator[],
    env: Record<string, string> = {},
    tempo = testTempo,
  ): Promise<TestGateway> {
    return scene.use(
      await TestGateway.start({
        engine: 'postgres',
        backends: backends.map(({ url }) => url),
        env: {
          SOURCE_ALLOW: sources.host,
          WORKFLOWS_DIR: workflows.folder,
          SHUTDOWN_GRACE: '0.1',
          ...env,
        },
        tempo,
      }),
    );
  }

  async function storedFiles({ dataDir }: TestGateway): Promise<string[]> {
    const all = await readdir(join(dataDir, 'objects'), { recursive: true });
    return all.filter((name) => name.endsWith('.png') && !name.startsWith('.'));
  }

  it('of one tenant, to targets that never answer, keep up nobody else', async () => {
    const silent = createServer((request) => void request.resume()).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    scene.defer(async () => {
      silent.closeAllConnections();
      await new Promise((resolve) => silent.close(resolve));
    });
    const host = `127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const gateway = await start([healthy], {
      API_KEYS: Object.entries(keys)
        .map(([name, key]) => `${name}:${key}`)
        .join(','),
      TARGET_ALLOW: host,
      MAX_UPLOADS: '4',
    });
    const alice = new GatewayClient(gateway.url, keys.alice);
    const bob = new GatewayClient(gateway.url, keys.bob);
    const ids: string[] = [];
    for (let i = 0; i < 8; i += 1) {
      const target_url = `http://${host}/${i}.png`;
      ids.push(await alice.submit({ url: picture, workflow: 'sleep', target_url }));
    }
    for (const id of ids) await alice.until(id, isUploading);

    const task = await bob.submit({ url: picture, workflow: 'sleep' });
    const done = await bob.until(task, undefined, soonMs);
    assert.equal(done.status, 'completed', done.error ?? '');

    const tell = async (what: RegExp) => {
      const tasks = await Promise.all(ids.map((id) => alice.task(id)));
      assert.ok(tasks.every(isUploading));
      assert.ok(tasks.some((each) => what.test(uploadOf(each)?.detail ?? '')));
    };
    await eventually(() => tell(/, the target takes \d+KB\/s$/));
    await eventually(() => tell(/^Waiting for its turn/));
  });

  it('from a server that drips keep up no result of another one', async () => {
    other.faults.dripViews(() => true);
    const gateway = await start([healthy, other]);
    const before = [healthy.runs.length, other.runs.length] as const;
    const submit = () => gateway.submit({ url: picture, workflow: 'sleep' });
    const ids = await Promise.all(Array.from({ length: 14 }, submit));
    await untilTrue(() => other.runs.length - before[1] + healthy.runs.length - before[0] === 14);
    await eventually(async () => {
      const { completed } = await gateway.counts();
      assert.equal(completed, healthy.runs.length - before[0]);
    }, soonMs);
    const dripping = other.runs.length - before[1];
    assert.ok(dripping > 2);
    const waiting = (await Promise.all(ids.map((id) => gateway.task(id)))).filter(isUploading);
    assert.equal(waiting.length, dripping);
    await eventually(async () => {
      const { body } = await gateway.call('GET', '/monitor/stats');
      const [dripper] = body.pool_status.filter(
        ({ address }: { address: string }) => address === other.url,
      );
      assert.equal(dripper.unfetched, dripping);
    });
    await eventually(async () => {
      const tasks = await Promise.all(waiting.map(({ task_id }) => gateway.task(task_id)));
      assert.ok(tasks.some((each) => /server sends \d+KB\/s$/.test(uploadOf(each)?.detail ?? '')));
    });
    other.faults.dripViews(() => false);
    for (const id of ids) await completes(gateway, id);
  });

  it('from a server end in time, and the server is given no more to make', async () => {
    other.faults.dripViews(() => true);
    const tempo = {
      ...testTempo,
      comfyui: { ...testTempo.comfyui, floorDeadlineMs: 300 },
      transfer: { ...testTempo.transfer, backendPatienceMs: 500, firstPauseMs: 50 },
    };
    const gateway = await start([other], { MAX_ATTEMPTS: '1' }, tempo);
    const failed = async () => {
      const task = await gateway.until(await gateway.submit({ url: picture, workflow: 'sleep' }));
      assert.deepEqual([task.status, task.error_code], ['failed', 'backend_failed']);
      assert.match(task.error ?? '', /send the output fast enough/);
    };
    await Promise.all([failed(), failed(), failed()]);
    await eventually(async () => {
      const [backend] = await backendsOf(gateway);
      assert.match(backend?.reason ?? '', /tasks failed here, the last with backend_failed/);
    });
  });

  it('from a server bound what it makes beyond them', async () => {
    other.faults.dripViews(() => true);
    const gateway = await start([other]);
    const before = other.runs.length;
    const submit = () => gateway.submit({ url: picture, workflow: 'sleep' });
    const ids = await Promise.all(Array.from({ length: 20 }, submit));
    await eventually(async () => {
      const [backend] = await backendsOf(gateway);
      assert.deepEqual(
        [backend?.state, backend?.reason],
        ['busy', 'its results are still to be fetched'],
      );
    });
    assert.equal(other.runs.length - before, 16);
    other.faults.dripViews(() => false);
    for (const id of ids) await completes(gateway, id);
  });

  it('of one output let the others pass, which keep their order', async () => {
    const isFirst = (name: string) => name.includes('_00001_');
    healthy.faults.dripViews(isFirst);
    const gateway = await start([healthy]);
    const id = await gateway.submit({ url: clip, workflow: 'frames', type: 'video' });
    await eventually(async () => {
      const files = await storedFiles(gateway);
      assert.equal(files.length, 7);
      assert.ok(!files.some((name) => name.endsWith('/a.png')));
    }, soonMs);
    healthy.faults.dripViews(() => false);
    const { outputs } = await completes(gateway, id);
    const places = outputs.map(({ url }) => /a(?:-[a-z]+(?:-(\d+))?)?\.png$/.exec(url)?.[1] ?? '');
    assert.deepEqual(places.slice(2), ['3', '4', '5', '6', '7', '8']);
    assert.equal(new Set(outputs.map(({ metadata }) => metadata.sha256)).size, 8);
  });

  it('are not begun of more outputs than a task may have', async () => {
    const gateway = await start([healthy], { MAX_OUTPUTS: '7' });
    const id = await gateway.submit({ url: clip, workflow: 'frames', type: 'video' });
    const task = await gateway.until(id);
    assert.deepEqual([task.status, task.error_code], ['failed', 'outputs_too_many']);
    assert.equal(task.error, 'The result is 8 files; this gateway takes 7 of one task');
    assert.deepEqual([task.retries, await storedFiles(gateway)], [0, []]);
  });
});
