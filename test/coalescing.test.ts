import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { request } from 'undici';
import { Emulator } from '../src/emulator/emulator.ts';
import { crashAt, createCrashScene } from './support/crash-scene.ts';
import { eventually } from './support/eventually.ts';
import { GatewayClient, type OutputBody, type TaskBody } from './support/gateway-client.ts';
import { samplePng } from './support/media-samples.ts';
import { SourceServer } from './support/source-server.ts';
import {
  createTestDatabase,
  enginesAboveStores,
  type TestDatabase,
} from './support/test-database.ts';
import { TestGateway } from './support/test-gateway.ts';
import { createTestWorkflows, sleepGraph, type TestWorkflows } from './support/test-workflows.ts';

const keys = { alice: 'alice-secret-0123456789', bob: 'bob-secret-0123456789' };
const isRunning = ({ stages }: TaskBody) => stages[1]?.status === 'running';
const isReady = ({ stages }: TaskBody) => stages[0]?.status === 'success';

for (const engine of enginesAboveStores) {
  describe(`identical tasks on ${engine}`, () => {
    const cleanup = new AsyncDisposableStack();
    let sources: SourceServer;
    let target: TargetServer;
    let workflows: TestWorkflows;
    let emulator: Emulator;
    let gateway: TestGateway;
    let picture: Buffer;
    let seed = 0;

    /** Of one test: what it starts beside the gateway, and the address of a picture that no other has. */
    let scene: AsyncDisposableStack;
    let url: string;
    let runsBefore: number;

    before(async () => {
      sources = cleanup.use(await SourceServer.start());
      target = cleanup.use(await TargetServer.start());
      workflows = cleanup.use(await createTestWorkflows(0.3));
      await workflows.write('long', sleepGraph(60));
      await workflows.write('while', sleepGraph(2));
      const graph = sleepGraph(0.1);
      const sleep = { ...(graph['2'] as object), _meta: { title: '@param:seconds' } };
      await workflows.write('paced', { ...graph, '2': sleep });
      await workflows.write('two', {
        ...graph,
        '4': { class_type: 'SaveImage', inputs: { images: ['2', 0], filename_prefix: 'again' } },
      });
      emulator = cleanup.use(await Emulator.start());
      gateway = cleanup.use(await startGateway([emulator]));
    });
    beforeEach(async () => {
      scene = new AsyncDisposableStack();
      seed += 1;
      picture = await samplePng({ width: 16, height: 16, seed });
      url = sources.file('a.png', picture);
      runsBefore = emulator.runs.length;
    });
    afterEach(async () => {
      emulator.faults.stall(false);
      await scene.disposeAsync();
    });
    after(() => cleanup.disposeAsync());

    async function startGateway(
      backends: readonly Emulator[],
      env: Record<string, string> = {},
      shared: { database?: TestDatabase; dataDir?: string } = {},
    ): Promise<TestGateway> {
      return await TestGateway.start({
        engine,
        backends: backends.map((backend) => backend.url),
        env: {
          SOURCE_ALLOW: sources.host,
          TARGET_ALLOW: target.host,
          WORKFLOWS_DIR: workflows.folder,
          CACHE: 'on',
          ...env,
        },
        ...shared,
      });
    }

    const runs = () => emulator.runs.slice(runsBefore);

    async function run(task: object = {}, on: GatewayClient = gateway): Promise<TaskBody> {
      return await completes(on, await on.submit({ url, workflow: 'sleep', ...task }));
    }

    /** A task that leads as long as the GPU hangs. */
    async function lead(): Promise<string> {
      emulator.faults.stall(true);
      const id = await gateway.submit({ url, workflow: 'while' });
      await gateway.until(id, isRunning);
      return id;
    }

    /** Another gateway, with backends of its own. */
    async function start(
      env: Record<string, string>,
      shared: { database?: TestDatabase; dataDir?: string } = {},
    ): Promise<{ gateway: TestGateway; emulators: readonly Emulator[] }> {
      const emulators = [scene.use(await Emulator.start()), scene.use(await Emulator.start())];
      return { gateway: scene.use(await startGateway(emulators, env, shared)), emulators };
    }

    it('have one run, whatever the address of the source; each has objects of its own', async () => {
      const first = await run({ workflow: 'two' });
      const other = sources.file('b c.png', picture);
      const second = await run({ workflow: 'two', url: other });
      assert.equal(runs().length, 1);
      assert.deepEqual([first, second].map(isCached), [false, true]);
      assert.deepEqual(
        second.stages.map(({ status, progress, detail }) => [status, progress, detail]),
        [
          ['success', 100, first.stages[0]?.detail],
          ['skipped', 100, 'The result of an identical task was taken'],
          ['success', 100, first.stages[2]?.detail?.replace('Upload complete', 'Copied')],
        ],
      );
      assert.match(
        second.output?.url ?? '',
        new RegExp(`/${second.task_id}/[0-9a-f]{32}/b_c\\.png$`),
      );
      assert.equal(first.outputs.length, 2);
      assert.deepEqual(
        second.outputs.map(({ metadata }) => metadata),
        first.outputs.map(({ metadata }) => metadata),
      );
      await rm(join(gateway.dataDir, 'objects', first.task_id), { recursive: true });
      for (const output of second.outputs) await isStored(output);
      await eventually(async () => assert.deepEqual(await gateway.spooled(), []));
    });

    it('share one run when ten come at once', async () => {
      const { gateway, emulators } = await start({});
      const ids = await Promise.all(
        Array.from({ length: 10 }, () => gateway.submit({ url, workflow: 'while' })),
      );
      const tasks = await Promise.all(ids.map((id) => completes(gateway, id)));
      assert.equal(emulators.flatMap((each) => each.runs).length, 1);
      assert.equal(tasks.filter(isCached).length, 9);
      const uploads = tasks.map(({ stages }) => stages[2]?.detail ?? '');
      for (const detail of uploads) assert.match(detail, /^(Upload complete|Copied)/);
      assert.equal(new Set(tasks.map(({ output }) => output?.url)).size, 10);
      for (const { output, retries } of tasks) {
        assert.equal(retries, 0);
        assert.ok(output);
        await isStored(output);
      }
      await eventually(async () => assert.deepEqual(await gateway.spooled(), []));
    });

    it('do not share where anything differs that makes the result', async () => {
      const bytes = await samplePng({ width: 16, height: 16, seed: 1_000 + seed });
      const tasks = [
        {},
        { url: sources.file('other.png', bytes) },
        { workflow: 'two' },
        { format: 'webp' },
        { format: 'webp', quality: 50 },
        { keep_metadata: true },
        { outscale: 2 },
        { workflow: 'paced', inputs: { seconds: 0.1 } },
        { workflow: 'paced', inputs: { seconds: 0.2 } },
      ];
      for (const task of tasks) assert.equal(isCached(await run(task)), false);
      assert.equal(runs().length, tasks.length);
      for (const task of tasks) assert.equal(isCached(await run(task)), true);
      assert.equal(runs().length, tasks.length);
    });

    it('do not share between tenants', async () => {
      const pairs = Object.entries(keys).map((pair) => pair.join(':'));
      const { gateway, emulators } = await start({ API_KEYS: pairs.join(',') });
      const tenants = Object.values(keys).map((key) => new GatewayClient(gateway.url, key));
      for (const tenant of tenants) assert.equal(isCached(await run({}, tenant)), false);
      for (const tenant of tenants) assert.equal(isCached(await run({}, tenant)), true);
      assert.equal(emulators.flatMap((each) => each.runs).length, 2);
    });

    it('wait for the run that they share, and hold no seat in front of a GPU meanwhile', async () => {
      const leader = await lead();
      const follower = await gateway.submit({ url, workflow: 'while' });
      const { status, retry_at: retryAt } = await gateway.until(follower, isRunning);
      assert.deepEqual([status, retryAt], ['processing', null]);
      const other = await gateway.submit({ url, workflow: 'sleep' });
      await gateway.until(other, isReady);
      assert.ok(isRunning(await gateway.task(leader)));
      emulator.faults.stall(false);
      assert.equal(isCached(await completes(gateway, follower)), true);
      await completes(gateway, other);
      assert.equal(runs().length, 2);
    });

    it('can be canceled one by one; the run ends with the last of them', async () => {
      const ids: string[] = [];
      for (let i = 0; i < 3; i += 1) {
        // What has a GPU waits no longer for one.
        ids.push(await gateway.submit({ url, workflow: 'long', queue_timeout: 1 }));
        await gateway.until(ids[i] ?? '', isRunning);
      }
      for (const [index, id] of ids.entries()) {
        assert.deepEqual(
          runs().map(({ status }) => status),
          ['running'],
        );
        await gateway.call('DELETE', `/tasks/${id}`);
        assert.equal((await gateway.task(id)).status, 'canceled');
        for (const other of ids.slice(index + 1)) {
          assert.ok(isRunning(await gateway.task(other)));
        }
      }
      await eventually(() => {
        assert.deepEqual(
          runs().map(({ status }) => status),
          ['interrupted'],
        );
      });
    });

    it('have the result of the run when the one that led is canceled, which leaves nothing', async () => {
      const leader = await lead();
      const followers: string[] = [];
      for (let i = 0; i < 3; i += 1) {
        followers.push(await gateway.submit({ url, workflow: 'while' }));
        await gateway.until(followers[i] ?? '', isRunning);
      }
      await gateway.call('DELETE', `/tasks/${leader}`);
      emulator.faults.stall(false);
      for (const id of followers) {
        const { output } = await completes(gateway, id);
        assert.ok(output);
        await isStored(output);
      }
      assert.deepEqual(
        runs().map(({ status }) => status),
        ['success'],
      );
      await eventually(async () => {
        const left = await readdir(join(gateway.dataDir, 'objects', leader)).catch(() => []);
        assert.deepEqual(left, []);
      });
    });

    it('wait together for another attempt', async () => {
      emulator.faults.failNode('EmulatorSleep', 'a passing mood', 1);
      const leader = await lead();
      const follower = await gateway.submit({ url, workflow: 'while' });
      await gateway.until(follower, isRunning);
      emulator.faults.stall(false);
      const tasks = [await completes(gateway, follower), await completes(gateway, leader)];
      assert.equal(tasks.filter(isCached).length, 1);
      assert.deepEqual(
        tasks.map(({ retries }) => retries),
        [1, 1],
      );
      assert.deepEqual(
        runs().map(({ status }) => status),
        ['error', 'success'],
      );
    });

    it('fail together with the run that they share', async () => {
      const { gateway, emulators } = await start({ MAX_ATTEMPTS: '1' });
      for (const { faults } of emulators) {
        faults.failNode('EmulatorSleep', 'boom', 100);
        faults.stall(true);
      }
      const ids: string[] = [];
      for (let i = 0; i < 4; i += 1) ids.push(await gateway.submit({ url, workflow: 'while' }));
      for (const id of ids) await gateway.until(id, isRunning);
      for (const { faults } of emulators) faults.stall(false);
      for (const id of ids) assert.equal((await gateway.until(id)).error_code, 'execution_failed');
      assert.equal(emulators.flatMap((each) => each.runs).length, 1);
    });

    it('are run again when the results are gone', async () => {
      const gone = [await run(), await run()];
      for (const { task_id: id } of gone) {
        await rm(join(gateway.dataDir, 'objects', id), { recursive: true });
      }
      assert.equal(isCached(await run()), false);
      const last = await run();
      assert.equal(isCached(last), true);
      assert.ok(last.output);
      await isStored(last.output);
      assert.equal(runs().length, 2);
    });

    it('are run each where CACHE is off, and taken up again where it is on', async () => {
      const database = scene.use(await createTestDatabase(engine));
      const dataDir = await mkdtemp(join(tmpdir(), 'tmlsr-data-'));
      scene.defer(() => rm(dataDir, { recursive: true }));
      const wereCached: boolean[] = [];
      for (const setting of ['on', 'off', 'on']) {
        const { gateway } = await start({ CACHE: setting }, { database, dataDir });
        wereCached.push(isCached(await run({}, gateway)));
        await gateway[Symbol.asyncDispose]();
      }
      assert.deepEqual(wereCached, [false, false, true]);
    });

    it('are known by the bytes that they are made of, however these change meanwhile', async () => {
      emulator.faults.failNode('EmulatorSleep', 'a passing mood', 1);
      const leader = await lead();
      const other = sources.file('other.png', picture);
      const follower = await gateway.submit({ url: other, workflow: 'while' });
      await gateway.until(follower, isRunning);
      const changed = await samplePng({ width: 24, height: 16, seed: 2_000 + seed });
      sources.file('a.png', changed);
      await loseSpooled(gateway);
      emulator.faults.stall(false);
      const tasks = [await completes(gateway, leader), await completes(gateway, follower)];
      assert.deepEqual(
        tasks.map(({ output }) => output?.metadata.input.width),
        [24, 16],
      );
      assert.deepEqual(tasks.map(isCached), [false, false]);
      assert.equal(isCached(await run({ workflow: 'while' })), true);
      assert.equal(isCached(await run({ workflow: 'while', url: other })), true);
    });

    it('do not fail by the source of another one', async () => {
      emulator.faults.failNode('EmulatorSleep', 'a passing mood', 1);
      const leader = await lead();
      const other = sources.file('other.png', picture);
      const follower = await gateway.submit({ url: other, workflow: 'while' });
      await gateway.until(follower, isRunning);
      sources.answer('a.png', (_request, response) => response.writeHead(404).end());
      await loseSpooled(gateway);
      emulator.faults.stall(false);
      await completes(gateway, follower);
      assert.equal((await gateway.until(leader)).error_code, 'source_lost');
    });

    it('have a run each where the result goes to an address of the client', async () => {
      for (let i = 0; i < 2; i += 1) {
        const task = await run({ target_url: target.url });
        assert.equal(isCached(task), false);
      }
      assert.equal(isCached(await run()), false);
      assert.equal(runs().length, 3);
    });
  });
}

describe('identical tasks', () => {
  it('share one run between gateways', async () => {
    await using parts = new AsyncDisposableStack();
    const scene = parts.use(
      await createCrashScene({ engine: 'postgres', emulators: 2, env: { CACHE: 'on' } }),
    );
    const gateways: TestGateway[] = [];
    for (let i = 0; i < 2; i += 1) {
      const gateway = await TestGateway.start({
        engine: 'postgres',
        backends: scene.emulators.map(({ url }) => url),
        dataDir: scene.dataDir,
        database: {
          options: { engine: 'postgres', url: scene.databaseUrl },
          [Symbol.asyncDispose]: async () => {},
        },
        env: scene.env,
      });
      gateways.push(parts.use(gateway));
    }
    const [first, second] = gateways as [TestGateway, TestGateway];
    await eventually(async () => {
      const drivers = new Set((await first.drivers()).values());
      assert.equal(drivers.size, 2);
      assert.ok(!drivers.has(null));
    });
    const ids = await Promise.all(
      Array.from({ length: 10 }, (_, i) => (i % 2 ? first : second).submit(scene.task)),
    );
    const tasks = await Promise.all(ids.map((id) => completes(first, id)));
    assert.equal(tasks.filter(isCached).length, 9);
    assert.equal(scene.runs().length, 1);
  });

  for (const milestone of ['claimed', 'prompt-posted', 'stored'] as const) {
    it(`end well with one run when their gateway dies at "${milestone}"`, async () => {
      await using scene = await createCrashScene({
        engine: 'postgres',
        seconds: 1,
        env: { CACHE: 'on' },
      });
      const nth = milestone === 'claimed' ? 2 : 1;
      const tasks = await crashAt(scene, { milestone, nth, tasks: 4 });
      for (const task of tasks) assert.equal(task.status, 'completed', task.error ?? '');
      assert.equal(tasks.filter((task) => !isCached(task)).length, 1);
      assert.equal(scene.runs().length, 1);
      await eventually(async () => {
        const folders = await readdir(join(scene.dataDir, 'objects'));
        assert.equal(folders.filter((name) => name !== '.tmp').length, 4, `${folders}`);
      });
    });
  }
});

/** What was read of links is gone, so that it has to be read again. */
async function loseSpooled({ dataDir }: TestGateway): Promise<void> {
  const spool = join(dataDir, 'spool');
  const names = await readdir(spool, { recursive: true });
  await Promise.all(
    names
      .filter((name) => name.includes('/'))
      .map((name) => rm(join(spool, name), { force: true })),
  );
}

/** Takes whatever is put to it. */
class TargetServer implements AsyncDisposable {
  readonly host: string;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    this.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async start(): Promise<TargetServer> {
    const server = createServer((incoming, response) => {
      incoming.resume().on('end', () => response.end());
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new TargetServer(server);
  }

  get url(): string {
    return `http://${this.host}/result.png`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

function isCached({ cached }: TaskBody): boolean {
  return cached;
}

async function completes(gateway: GatewayClient, id: string): Promise<TaskBody> {
  const task = await gateway.until(id);
  assert.equal(task.status, 'completed', `${task.error_code}: ${task.error}`);
  return task;
}

/** The result, and its thumbnail, are behind their links. */
async function isStored({ url, thumbnail_url: thumbnail, metadata }: OutputBody): Promise<void> {
  const response = await request(url);
  const bytes = Buffer.from(await response.body.arrayBuffer());
  assert.equal(response.headers['content-type'], metadata.content_type);
  assert.equal(createHash('sha256').update(bytes).digest('hex'), metadata.sha256);
  assert.ok(thumbnail);
  assert.equal((await request(thumbnail)).statusCode, 200);
}
