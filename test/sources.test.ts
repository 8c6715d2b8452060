import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { createCrashScene } from './support/crash-scene.ts';
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

let supplies: Supplies;
let links: OneTimeLinks;

before(async () => {
  supplies = await Supplies.open();
  links = await OneTimeLinks.start();
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
