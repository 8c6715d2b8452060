import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type CrashScene, createCrashScene } from './support/crash-scene.ts';
import { eventually } from './support/eventually.ts';
import { GatewayProcess } from './support/gateway-process.ts';
import { OneTimeLinks } from './support/one-time-links.ts';
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
import { createTestDatabase } from './support/test-database.ts';
import { sleepGraph } from './support/test-workflows.ts';

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

describe('a source is read once', { concurrency: true }, () => {
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
    const running = await gateway.submit({ url: supplies.url, workflow: 'long' });
    await untilTrue(() => emulator.runs.length === 1);
    const url = links.link();
    const id = await gateway.submit({ url, workflow: 'sleep' });
    assert.equal(await untilStaged(gateway, emulator.url), id);
    await gateway.until(id, ({ stages }) => stages[0]?.status === 'success');
    await gateway.call('PATCH', `/backends/${backend}`, { wanted: 'draining' });
    await gateway.until(id, ({ status }) => status === 'pending');
    await gateway.call('PATCH', `/backends/${backend}`, { wanted: 'active' });
    for (const each of [running, id]) assert.equal((await completes(gateway, each)).retries, 0);
    assert.equal(links.readings(url), 1);
  });

  it('although its task waits for a server that takes so large an input', async () => {
    await using parts = scene();
    const tempo = { ...testTempo, retry: { firstPauseMs: 50, longestPauseMs: 100 } };
    const [tight, roomy] = [await parts.emulator({ maxUploadBytes: 100 }), await parts.emulator()];
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
      await using crash = await createCrashScene({ engine: 'pglite', seconds: 1, env });
      const [emulator] = crash.emulators;
      const url = links.link();
      await using first = await GatewayProcess.start(crash.env);
      const id = await first.client.submit({ ...crash.task, url });
      await eventually(() => assert.equal(crash.runs().length, 1));
      await first.end(signal);
      await emulator?.faults.restart();
      await using second = await GatewayProcess.start(crash.env);
      const task = await second.client.until(id);
      assert.deepEqual([task.status, task.retries], ['completed', 1], task.error ?? '');
      assert.equal(links.readings(url), 1);
      await second.end('SIGTERM');
      assert.deepEqual(await readdir(join(crash.dataDir, 'spool')), []);
    });
  }
});

describe('a source is read once by gateways that share a store', { concurrency: true }, () => {
  /** A data folder of a gateway's own, with the objects of another. */
  async function dataDirBeside(dataDir: string, parts: AsyncDisposableStack): Promise<string> {
    const beside = await mkdtemp(join(tmpdir(), 'tmlsr-data-'));
    parts.defer(() => rm(beside, { recursive: true }));
    await mkdir(join(dataDir, 'objects'), { recursive: true });
    await symlink(join(dataDir, 'objects'), join(beside, 'objects'));
    return beside;
  }

  const copies = (dataDir: string) => readdir(join(dataDir, 'objects', 'sources')).catch(() => []);

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
    assert.deepEqual(await copies(first.dataDir), []);
    const dataDir = await dataDirBeside(first.dataDir, parts);
    const second = await parts.gateway(urls, { database, dataDir });
    await untilTrue(async () => {
      const drivers = await second.drivers();
      return new Set([null, ...drivers.values()]).size === 3;
    });
    await first.call('PATCH', `/backends/${busy}`, { wanted: 'draining' });
    await first.until(id, ({ status }) => status === 'pending');
    await first.call('PATCH', `/backends/${idle}`, { wanted: 'active' });
    await completes(second, id);
    assert.deepEqual([links.readings(url), other.runs.length], [1, 1]);
    await eventually(async () => assert.deepEqual(await copies(first.dataDir), []));
    await first.call('DELETE', `/tasks/${running}`);
  });
});
