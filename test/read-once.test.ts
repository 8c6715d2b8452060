import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type CrashScene, createCrashScene } from './support/crash-scene.ts';
import { eventually } from './support/eventually.ts';
import { GatewayProcess } from './support/gateway-process.ts';
import { copies, dataDirBeside } from './support/lent-sources.ts';
import { OneTimeLinks } from './support/one-time-links.ts';
import { patienceMs, scenesAtOnce } from './support/patience.ts';
import { completes, Scene, Supplies, untilTrue } from './support/pool-scene.ts';
import { testTempo } from './support/tempo.ts';
import { createTestDatabase, type Engine } from './support/test-database.ts';
import { sleepGraph } from './support/test-workflows.ts';

/** Within this time everything would be fetched that may be. */
const longerThanALookMs = testTempo.sources.aheadEveryMs + testTempo.sources.aheadAfterMs;

let supplies: Supplies;
let links: OneTimeLinks;

before(async () => {
  supplies = await Supplies.open();
  links = await OneTimeLinks.start();
  await supplies.workflows.write('halting', sleepGraph(4, 80));
  await supplies.workflows.write('pair', pairGraph);
});
after(async () => {
  await links[Symbol.asyncDispose]();
  await supplies[Symbol.asyncDispose]();
});

function scene(): Scene {
  const SOURCE_ALLOW = `${supplies.env.SOURCE_ALLOW},${links.host}`;
  return new Scene({ env: { ...supplies.env, SOURCE_ALLOW } });
}

const pairGraph = {
  '1': { class_type: 'LoadImage', inputs: { image: 'a.png' }, _meta: { title: '@input' } },
  '2': { class_type: 'LoadImage', inputs: { image: 'b.png' }, _meta: { title: '@input:mask' } },
  '3': { class_type: 'SaveImage', inputs: { images: ['1', 0], filename_prefix: 'x' } },
  '4': { class_type: 'SaveImage', inputs: { images: ['2', 0], filename_prefix: 'y' } },
};

/** A link that gives its picture when it is told to. */
function slowLink(): { readonly url: string; readonly give: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { url: links.link(promise), give: resolve };
}

describe('a link that is good for one reading', { concurrency: scenesAtOnce }, () => {
  it('is not read ahead by a gateway that came after its task was begun', async () => {
    await using parts = scene();
    const emulator = await parts.emulator();
    const database = parts.use(await createTestDatabase('postgres'));
    const idle = { ...testTempo.sources, aheadAfterMs: 3_600_000 };
    const first = await parts.gateway([emulator], {
      database,
      tempo: { ...testTempo, sources: idle },
    });
    emulator.faults.stall(true);
    const url = links.link();
    const id = await first.submit({ url, workflow: 'sleep' });
    await untilTrue(() => emulator.runs.length === 1);
    assert.deepEqual(await copies(first.dataDir), []);
    const dataDir = await dataDirBeside(first.dataDir, parts);
    // The first one answers late where the machine is busy.
    const patient = { ...testTempo.sources, answerPatienceMs: patienceMs };
    const second = await parts.gateway([emulator.url], {
      database,
      dataDir,
      tempo: { ...testTempo, sources: patient },
    });
    await first.call('PUT', '/pauses/pool', {});
    await emulator.faults.restart();
    emulator.faults.stall(false);
    await first.until(id, ({ status }) => status === 'pending');
    await delay(longerThanALookMs);
    assert.equal((await second.task(id)).status, 'pending');
    await first.call('DELETE', '/pauses/pool');
    await completes(second, id);
    assert.equal(links.readings(url), 1);
    await eventually(async () => assert.deepEqual(await copies(first.dataDir), []));
  });

  it('is read once for a task that shared the run of another, and has one of its own again', async () => {
    await using parts = scene();
    const emulator = await parts.emulator();
    const gateway = await parts.gateway([emulator], { env: { CACHE: 'on' } });
    const [led, joined] = [links.link(), links.link()];
    const task = { workflow: 'halting' };
    const leader = await gateway.submit({ ...task, url: led, run_timeout: 3 });
    await untilTrue(() => emulator.runs.length === 1);
    const twin = await gateway.submit({ ...task, url: joined });
    await gateway.until(twin, ({ stages }) => stages[1]?.status === 'running');
    assert.equal((await gateway.until(leader)).error_code, 'run_timeout');
    await completes(gateway, twin);
    assert.equal(emulator.runs.length, 2);
    assert.deepEqual([links.readings(led), links.readings(joined)], [1, 1]);
    await eventually(async () => assert.deepEqual(await gateway.spooled(), []));
  });

  it('is read once for two inputs of its task, ahead of it or not', async () => {
    await using parts = scene();
    const gateway = await parts.gateway([await parts.emulator()]);
    for (const isAhead of [false, true]) {
      if (isAhead) await gateway.call('PUT', '/pauses/pool', {});
      const url = links.link();
      const id = await gateway.submit({ url, workflow: 'pair', inputs: { mask: url } });
      await untilTrue(() => links.readings(url) > 0);
      if (isAhead) await gateway.call('DELETE', '/pauses/pool');
      await completes(gateway, id);
      assert.equal(links.readings(url), 1);
    }
  });

  describe('is read to its end by a gateway that is asked to stop', {
    concurrency: scenesAtOnce,
  }, () => {
    /** One prompt runs, and another task is ready behind it. */
    async function occupy(crash: CrashScene, gateway: GatewayProcess): Promise<string[]> {
      crash.emulators[0]?.faults.stall(true);
      const ids = [];
      for (let i = 0; i < 2; i += 1) ids.push(await gateway.client.submit(crash.task));
      await gateway.client.until(ids[1] ?? '', ({ stages }) => stages[0]?.status === 'success');
      return ids;
    }

    it('for a task that is begun, on postgres', () => stops('postgres', false));
    it('for a task that is begun, on pglite', () => stops('pglite', false));
    it('ahead of its task', () => stops('postgres', true));

    async function stops(engine: Engine, isBusy: boolean): Promise<void> {
      const env = { SOURCE_ALLOW: links.host };
      await using parts = new AsyncDisposableStack();
      const crash = parts.use(await createCrashScene({ engine, seconds: 0.1, env }));
      const allow = `${crash.env.SOURCE_ALLOW},${new URL(crash.task.url).host}`;
      const base = { ...crash.env, SOURCE_ALLOW: allow };
      const first = parts.use(await GatewayProcess.start(base));
      if (isBusy) await occupy(crash, first);
      const { url, give } = slowLink();
      const id = await first.client.submit({ ...crash.task, url });
      await eventually(() => assert.equal(links.readings(url), 1));
      const ended = first.end('SIGTERM');
      await delay(300);
      assert.ok(first.isRunning);
      give();
      assert.equal(await ended, 0);
      crash.emulators[0]?.faults.stall(false);
      // Its disk goes with it, but for that of an embedded database.
      const DATA_DIR =
        engine === 'postgres' ? await dataDirBeside(crash.dataDir, parts) : crash.dataDir;
      const second = parts.use(await GatewayProcess.start({ ...base, DATA_DIR }));
      const task = await second.client.until(id);
      assert.deepEqual([task.status, task.retries], ['completed', 0], task.error ?? '');
      assert.equal(links.readings(url), 1);
      await second.end('SIGTERM');
      assert.deepEqual(await readdir(join(DATA_DIR, 'spool')), []);
    }

    it('as long as it has time for that', async () => {
      const env = { SOURCE_ALLOW: links.host, SHUTDOWN_GRACE: '0.2' };
      await using crash = await createCrashScene({ engine: 'postgres', seconds: 0.1, env });
      await using first = await GatewayProcess.start(crash.env);
      const { url, give } = slowLink();
      const id = await first.client.submit({ ...crash.task, url });
      await eventually(() => assert.equal(links.readings(url), 1));
      assert.equal(await first.end('SIGTERM'), 0);
      give();
      await using second = await GatewayProcess.start(crash.env);
      await isLost(second, id);
    });
  });

  for (const [words, isAhead] of [
    ['for a task that is begun', false],
    ['ahead of its task', true],
  ] as const) {
    it(`is not blamed on its client where the gateway dies while it reads it ${words}`, async () => {
      const env = { SOURCE_ALLOW: links.host };
      await using crash = await createCrashScene({ engine: 'postgres', seconds: 0.1, env });
      await using first = await GatewayProcess.start(crash.env);
      if (isAhead) await first.client.call('PUT', '/pauses/pool', {});
      const { url, give } = slowLink();
      const id = await first.client.submit({ ...crash.task, url });
      await eventually(() => assert.equal(links.readings(url), 1));
      await first.end('SIGKILL');
      give();
      await using second = await GatewayProcess.start(crash.env);
      if (isAhead) await second.client.call('DELETE', '/pauses/pool');
      await isLost(second, id);
      assert.ok(links.readings(url) > 1);
    });
  }

  async function isLost(gateway: GatewayProcess, id: string): Promise<void> {
    const { status, error_code: code, error } = await gateway.client.until(id);
    assert.deepEqual(
      [status, code, error],
      [
        'failed',
        'source_lost',
        "There is nothing at the source's URL (410). The gateway had begun to read it before, and broke off",
      ],
    );
  }
});
