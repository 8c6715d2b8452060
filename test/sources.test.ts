import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type CrashScene, createCrashScene } from './support/crash-scene.ts';
import { eventually } from './support/eventually.ts';
import { GatewayClient } from './support/gateway-client.ts';
import { GatewayProcess } from './support/gateway-process.ts';
import { copies, dataDirBeside } from './support/lent-sources.ts';
import { samplePng } from './support/media-samples.ts';
import { OneTimeLinks } from './support/one-time-links.ts';
import { patienceMs, scenesAtOnce } from './support/patience.ts';
import {
  completes,
  isIdle,
  Scene,
  Supplies,
  untilBackend,
  untilStaged,
  untilTrue,
} from './support/pool-scene.ts';
import { testTempo } from './support/tempo.ts';
import { createTestDatabase, engines } from './support/test-database.ts';
import type { TestGatewayOptions } from './support/test-gateway.ts';
import { sleepGraph } from './support/test-workflows.ts';

/** Within this time everything would be fetched that may be. */
const longerThanALookMs = testTempo.sources.aheadEveryMs + testTempo.sources.aheadAfterMs;

let supplies: Supplies;
let links: OneTimeLinks;

before(async () => {
  supplies = await Supplies.open();
  links = await OneTimeLinks.start();
  // One that can be interrupted at any time: it looks at every tick whether it is.
  const endless = sleepGraph(600) as Record<string, { inputs: Record<string, unknown> }>;
  Object.assign(endless['2']?.inputs ?? {}, { ticks: 6_000 });
  await supplies.workflows.write('endless', endless);
});
after(async () => {
  await links[Symbol.asyncDispose]();
  await supplies[Symbol.asyncDispose]();
});

function scene(): Scene {
  const SOURCE_ALLOW = `${supplies.env.SOURCE_ALLOW},${links.host}`;
  return new Scene({ env: { ...supplies.env, SOURCE_ALLOW } });
}

describe('the sources that links give', () => {
  describe('a source is read once', { concurrency: scenesAtOnce }, () => {
    it('although the server of its task dies', async () => {
      await using parts = scene();
      const emulator = await parts.emulator();
      const gateway = await parts.gateway([emulator]);
      const url = links.link();
      const id = await gateway.submit({ url, workflow: 'long' });
      await untilTrue(() => emulator.runs.length === 1);
      await emulator.faults.restart();
      assert.equal((await completes(gateway, id)).retries, 1);
      assert.equal(links.readings(url), 1);
      await eventually(async () => assert.deepEqual(await gateway.spooled(), []));
    });

    it('although its task loses the place where it was made ready', async () => {
      await using parts = scene();
      const emulator = await parts.emulator();
      const gateway = await parts.gateway([emulator]);
      const { id: backend } = await untilBackend(gateway, emulator.url, isIdle);
      const running = await gateway.submit({ url: supplies.url, workflow: 'endless' });
      await untilTrue(() => emulator.runs.length === 1);
      const url = links.link();
      const id = await gateway.submit({ url, workflow: 'sleep' });
      assert.equal(await untilStaged(gateway, emulator.url), id);
      await gateway.until(id, ({ stages }) => stages[0]?.status === 'success');
      await gateway.call('PATCH', `/backends/${backend}`, { wanted: 'draining' });
      await gateway.until(id, ({ status }) => status === 'pending');
      await gateway.call('DELETE', `/tasks/${running}`);
      await gateway.call('PATCH', `/backends/${backend}`, { wanted: 'active' });
      assert.equal((await completes(gateway, id)).retries, 0);
      assert.equal(links.readings(url), 1);
    });

    it('although its task waits for a server that takes so large an input', async () => {
      await using parts = scene();
      const tempo = { ...testTempo, retry: { firstPauseMs: 50, longestPauseMs: 100 } };
      const [tight, roomy] = [
        await parts.emulator({ maxUploadBytes: 100 }),
        await parts.emulator(),
      ];
      const gateway = await parts.gateway([tight, roomy], { tempo });
      const { id: away } = await untilBackend(gateway, roomy.url, isIdle);
      await gateway.call('PATCH', `/backends/${away}`, { wanted: 'draining' });
      await untilBackend(gateway, roomy.url, ({ state }) => state === 'draining');
      const url = links.link();
      const id = await gateway.submit({ url, workflow: 'sleep' });
      const refused = ({ error_code: code }: { error_code: string | null }) =>
        code === 'backend_upload_refused';
      await gateway.until(id, (task) => refused(task) && task.status === 'pending');
      await gateway.until(id, (task) => refused(task) && task.status === 'processing');
      await gateway.until(id, (task) => refused(task) && task.status === 'pending');
      await gateway.call('PATCH', `/backends/${away}`, { wanted: 'active' });
      await completes(gateway, id);
      assert.equal(links.readings(url), 1);
    });

    for (const [words, signal] of [
      ['is killed', 'SIGKILL'],
      ['stops', 'SIGTERM'],
    ] as const) {
      it(`although the gateway ${words}, and the prompt is lost meanwhile`, async () => {
        const env = { SOURCE_ALLOW: links.host };
        await using crash = await createCrashScene({ engine: 'pglite', seconds: 3, env });
        const [emulator] = crash.emulators;
        const url = links.link();
        await using first = await GatewayProcess.start(crash.env);
        const id = await first.client.submit({ ...crash.task, url });
        await eventually(() => assert.equal(crash.runs().length, 1));
        await first.end(signal);
        await emulator?.faults.restart();
        await using second = await GatewayProcess.start(crash.env);
        // Whether that counts depends on how far the first one had got with its record.
        const task = await second.client.until(id);
        assert.equal(task.status, 'completed', task.error ?? '');
        assert.equal(links.readings(url), 1);
        await second.end('SIGTERM');
        assert.deepEqual(await readdir(join(crash.dataDir, 'spool')), []);
      });
    }
  });

  describe('a source is read once by gateways that share a store', {
    concurrency: scenesAtOnce,
  }, () => {
    async function crashScene(parts: AsyncDisposableStack): Promise<[CrashScene, string]> {
      const env = { SOURCE_ALLOW: links.host };
      const crash = parts.use(await createCrashScene({ engine: 'postgres', seconds: 1, env }));
      return [crash, await dataDirBeside(crash.dataDir, parts)];
    }

    it('although the one that has it is killed', async () => {
      await using parts = new AsyncDisposableStack();
      const [crash, beside] = await crashScene(parts);
      const first = parts.use(await GatewayProcess.start(crash.env));
      const second = parts.use(await GatewayProcess.start({ ...crash.env, DATA_DIR: beside }));
      const url = links.link();
      const id = await second.client.submit({ ...crash.task, url });
      await eventually(async () => assert.equal((await copies(beside)).length, 1));
      await eventually(() => assert.equal(crash.runs().length, 1));
      await first.end('SIGKILL');
      await crash.emulators[0]?.faults.restart();
      const task = await second.client.until(id);
      assert.deepEqual([task.status, task.retries], ['completed', 1], task.error ?? '');
      assert.equal(links.readings(url), 1);
      await eventually(async () => assert.deepEqual(await copies(beside), []));
    });

    it('although the only one stops, and its disk goes with it', async () => {
      await using parts = new AsyncDisposableStack();
      const [crash, beside] = await crashScene(parts);
      const first = parts.use(await GatewayProcess.start(crash.env));
      const url = links.link();
      const id = await first.client.submit({ ...crash.task, url });
      await eventually(() => assert.equal(crash.runs().length, 1));
      assert.deepEqual(await copies(beside), []);
      await first.end('SIGTERM');
      await crash.emulators[0]?.faults.restart();
      const second = parts.use(await GatewayProcess.start({ ...crash.env, DATA_DIR: beside }));
      const task = await second.client.until(id);
      assert.deepEqual([task.status, task.retries], ['completed', 1], task.error ?? '');
      assert.equal(links.readings(url), 1);
      await eventually(async () => assert.deepEqual(await copies(beside), []));
    });

    it('although the one that has it has told nobody, and another is given the task', async () => {
      await using parts = scene();
      const [one, other] = [await parts.emulator(), await parts.emulator()];
      const database = parts.use(await createTestDatabase('postgres'));
      const urls = [one.url, other.url];
      const first = await parts.gateway(urls, { database });
      const { id: busy } = await untilBackend(first, one.url, isIdle);
      const { id: idle } = await untilBackend(first, other.url, isIdle);
      await first.call('PATCH', `/backends/${idle}`, { wanted: 'draining' });
      const running = await first.submit({ url: supplies.url, workflow: 'endless' });
      await untilTrue(() => one.runs.length === 1);
      const url = links.link();
      const id = await first.submit({ url, workflow: 'sleep' });
      await first.until(id, ({ stages }) => stages[0]?.status === 'success');
      // Its link is read ahead.
      const laterUrl = links.link();
      const later = await first.submit({ url: laterUrl, workflow: 'sleep' });
      await untilTrue(() => links.readings(laterUrl) === 1);
      assert.deepEqual(await copies(first.dataDir), []);
      const dataDir = await dataDirBeside(first.dataDir, parts);
      // The first one answers late where the machine is busy.
      const patient = { ...testTempo.sources, answerPatienceMs: patienceMs };
      const tempo = { ...testTempo, sources: patient };
      const second = await parts.gateway(urls, { database, dataDir, tempo });
      await untilTrue(async () => {
        const drivers = await second.drivers();
        return new Set([null, ...drivers.values()]).size === 3;
      });
      await first.call('PATCH', `/backends/${busy}`, { wanted: 'draining' });
      await first.until(id, ({ status }) => status === 'pending');
      await first.call('PATCH', `/backends/${idle}`, { wanted: 'active' });
      for (const each of [id, later]) await completes(second, each);
      assert.deepEqual([links.readings(url), links.readings(laterUrl)], [1, 1]);
      assert.equal(other.runs.length, 2);
      await eventually(async () => assert.deepEqual(await copies(first.dataDir), []));
      await first.call('DELETE', `/tasks/${running}`);
    });
  });

  describe('the sources of tasks that wait', { concurrency: scenesAtOnce }, () => {
    /** A gateway whose only server is busy for long, with another task in front of it. */
    async function busy(parts: Scene, options: Partial<TestGatewayOptions> = {}) {
      const emulator = await parts.emulator();
      const gateway = await parts.gateway([emulator.url], options);
      const client = options.env?.API_KEYS
        ? new GatewayClient(gateway.url, 'a'.repeat(16))
        : gateway;
      const running = await client.submit({ url: supplies.url, workflow: 'endless' });
      await untilTrue(() => emulator.runs.length === 1);
      const next = await client.submit({ url: supplies.url, workflow: 'sleep' });
      await client.until(next, ({ stages }) => stages[0]?.status === 'success');
      const free = () => client.call('DELETE', `/tasks/${running}`);
      return { gateway, emulator, free };
    }

    for (const engine of engines) {
      it(`are fetched ahead on ${engine}: a link that dies meanwhile is of no use any more`, async () => {
        await using parts = scene();
        const { gateway, free } = await busy(parts, { engine });
        const url = links.link();
        const id = await gateway.submit({ url, workflow: 'sleep' });
        await untilTrue(() => links.readings(url) === 1);
        const { status, stages } = await gateway.task(id);
        assert.deepEqual([status, stages[0]?.status], ['pending', 'pending']);
        await free();
        await completes(gateway, id);
        assert.equal(links.readings(url), 1);
        await eventually(async () => assert.deepEqual(await gateway.spooled(), []));
      });
    }

    it('end their task at once where they are refused, though the server is busy', async () => {
      await using parts = scene();
      const { gateway } = await busy(parts);
      const dead = links.link();
      const first = await gateway.submit({ url: dead, workflow: 'sleep' });
      await untilTrue(() => links.readings(dead) === 1);
      const id = await gateway.submit({ url: dead, workflow: 'sleep' });
      const task = await gateway.until(id);
      assert.deepEqual(
        [task.status, task.error_code, task.retries],
        ['failed', 'source_not_found', 0],
      );
      assert.deepEqual(
        task.stages.map(({ status, detail }) => [status, detail]),
        [
          ['failed', "There is nothing at the source's URL (410)"],
          ['skipped', ''],
          ['skipped', ''],
        ],
      );
      assert.equal((await gateway.task(first)).status, 'pending');
    });

    it('leave a place for one that is begun, where there is one tenant', async () => {
      await using parts = scene();
      const tempo = { ...testTempo, source: { ...testTempo.source, idleDeadlineMs: patienceMs } };
      const env = { MAX_DOWNLOADS: '2' };
      const gateway = await parts.gateway([await parts.emulator()], { env, tempo });
      await gateway.call('PUT', '/pauses/workflows/endless', {});
      const hold = Promise.withResolvers<void>();
      parts.defer(() => hold.resolve());
      const slow = links.stallingOnce(hold.promise);
      const waiting = await gateway.submit({ url: slow, workflow: 'endless' });
      await untilTrue(() => links.readings(slow) === 1);
      await completes(gateway, await gateway.submit({ url: supplies.url, workflow: 'sleep' }));
      assert.equal((await gateway.task(waiting)).status, 'pending');
    });

    it('are read again where their server fails, at no cost', async () => {
      await using parts = scene();
      const { gateway, free } = await busy(parts);
      const url = links.failingOnce();
      const id = await gateway.submit({ url, workflow: 'sleep' });
      await untilTrue(() => links.readings(url) === 2);
      await free();
      assert.equal((await completes(gateway, id)).retries, 0);
      assert.equal(links.readings(url), 2);
    });

    it('are read by the next gateway where one dies while it reads them', async () => {
      const env = { SOURCE_ALLOW: links.host, MAX_SPOOL_BYTES: String(2 ** 30) };
      await using crash = await createCrashScene({ engine: 'pglite', seconds: 1, env });
      const [emulator] = crash.emulators;
      emulator?.faults.stall(true);
      const never = Promise.withResolvers<void>();
      await using first = await GatewayProcess.start(crash.env);
      const ids = [];
      for (let i = 0; i < 3; i += 1) {
        // The first is at the GPU, the second in front of it.
        const url = i < 2 ? links.link() : links.stallingOnce(never.promise);
        const id = await first.client.submit({ ...crash.task, url });
        ids.push(id);
        await eventually(() => assert.equal(links.readings(url), 1));
        // What is half read is lost with it.
        if (i < 2) await first.client.until(id, ({ stages }) => stages[0]?.status === 'success');
      }
      await first.end('SIGKILL');
      never.resolve();
      emulator?.faults.stall(false);
      await using second = await GatewayProcess.start(crash.env);
      for (const id of ids) {
        const task = await second.client.until(id);
        assert.deepEqual([task.status, task.retries], ['completed', 0], task.error ?? '');
      }
      await second.end('SIGTERM');
      assert.deepEqual(await readdir(join(crash.dataDir, 'spool')), []);
    });

    it('make room for files that clients send, also where nothing is begun', async () => {
      await using parts = scene();
      const env = { MAX_SPOOL_BYTES: String(links.bytes + 1) };
      const tempo = { ...testTempo, spool: { ...testTempo.spool, clientPatienceMs: patienceMs } };
      const gateway = await parts.gateway([await parts.emulator()], { env, tempo });
      await gateway.call('PUT', '/pauses/pool', {});
      const both = Promise.withResolvers<void>();
      const urls = [links.link(both.promise), links.link(both.promise)];
      const ids: string[] = [];
      for (const url of urls) ids.push(await gateway.submit({ url, workflow: 'sleep' }));
      await untilTrue(() => urls.every((url) => links.readings(url) === 1));
      both.resolve();
      // Each has its file and the note beside it.
      await untilTrue(async () => (await gateway.spooled()).length === 4);
      const body = new FormData();
      body.set('workflow', 'sleep');
      body.set('file', new File([await samplePng({ width: 16, height: 16, seed: 3 })], 'a.png'));
      const answer = await fetch(`${gateway.url}/tasks`, { method: 'POST', body });
      assert.equal(answer.status, 200, await answer.text());
      await gateway.call('DELETE', '/pauses/pool');
      for (const id of ids) await completes(gateway, id);
      for (const url of urls) assert.equal(links.readings(url), 1);
    });

    it('take half of the spool, shared between tenants, and leave the rest for later', async () => {
      await using parts = scene();
      const env = {
        API_KEYS: `one:${'a'.repeat(16)},two:${'b'.repeat(16)}`,
        // One place for those that wait: how large a source is shows when it comes.
        MAX_DOWNLOADS: '2',
        MAX_SPOOL_BYTES: String(links.bytes * 4),
      };
      const { gateway, free } = await busy(parts, { env });
      const [one, two] = ['a', 'b'].map((each) => new GatewayClient(gateway.url, each.repeat(16)));
      assert.ok(one && two);
      const slow = Promise.withResolvers<void>();
      const urls = [links.link(slow.promise), links.link(), links.link(), links.link()];
      const readings = () => urls.map((url) => links.readings(url));
      const clients = [one, one, one, two];
      const ids = [];
      for (const [index, client] of clients.entries()) {
        ids.push(await client.submit({ url: urls[index], workflow: 'sleep' }));
        await untilTrue(() => links.readings(urls[0] ?? '') === 1);
      }
      // By then all have waited long enough.
      await delay(2 * testTempo.sources.aheadAfterMs);
      assert.deepEqual(readings(), [1, 0, 0, 0]);
      slow.resolve();
      await untilTrue(() => links.readings(urls[3] ?? '') === 1);
      await delay(longerThanALookMs);
      assert.deepEqual(readings(), [1, 0, 0, 1]);
      await free();
      for (const [index, client] of clients.entries()) {
        assert.equal((await client.until(ids[index] ?? '')).status, 'completed');
      }
      assert.deepEqual(readings(), [1, 1, 1, 1]);
    });
  });
});
