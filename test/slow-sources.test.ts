import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { after, before, describe, it } from 'node:test';
import type { Emulator } from '../src/emulator/emulator.ts';
import { eventually } from './support/eventually.ts';
import { GatewayClient, type TaskBody } from './support/gateway-client.ts';
import { samplePng } from './support/media-samples.ts';
import { patienceMs, scenesAtOnce } from './support/patience.ts';
import { completes, Scene, Supplies, untilStaged, untilTrue } from './support/pool-scene.ts';
import { SourceServer } from './support/source-server.ts';
import { testTempo } from './support/tempo.ts';
import { sleepGraph } from './support/test-workflows.ts';

/** A task is late soon, and its source may be held for as long as a busy machine takes. */
const tempo = {
  ...testTempo,
  waitingRoom: { ...testTempo.waitingRoom, arrivalDeadlineMs: 300 },
  source: { ...testTempo.source, idleDeadlineMs: patienceMs, floorDeadlineMs: patienceMs },
  // These are about tasks that were begun.
  sources: { ...testTempo.sources, aheadAfterMs: 600_000 },
};

const keys = { alice: 'alice-secret-0123456789', bob: 'bob-secret-0123456789' };
const API_KEYS = Object.entries(keys).map((pair) => pair.join(':'));

/** Sources of which the first half comes at once, and the rest when the test says so. */
class HeldSources {
  readonly url: string;
  readonly #held: ServerResponse[] = [];
  readonly #rest: Buffer;

  constructor(server: SourceServer, name: string, file: Buffer) {
    const half = file.length >> 1;
    this.#rest = file.subarray(half);
    this.url = server.answer(name, (_request, response) => {
      response.writeHead(200, { 'content-length': file.length }).write(file.subarray(0, half));
      this.#held.push(response);
    });
  }

  /** How many are on their way. */
  get size(): number {
    return this.#held.length;
  }

  release(): void {
    for (const response of this.#held.splice(0)) response.end(this.#rest);
  }
}

describe('a source that is slow', { concurrency: scenesAtOnce }, () => {
  let supplies: Supplies;
  let sources: SourceServer;
  let file: Buffer;
  let names = 0;
  let url: string;
  before(async () => {
    supplies = await Supplies.open();
    await supplies.workflows.write('endless', sleeper('endless', 600));
    for (const name of ['slow', 'quick']) {
      await supplies.workflows.write(name, sleeper(name, 0.1));
    }
    sources = await SourceServer.start();
    file = await samplePng({ width: 16, height: 16, seed: 1 });
    url = sources.file('quick.png', file);
  });
  after(async () => {
    await supplies[Symbol.asyncDispose]();
    await sources[Symbol.asyncDispose]();
  });

  function held(): HeldSources {
    names += 1;
    return new HeldSources(sources, `held-${names}.png`, file);
  }

  function openScene(): Scene {
    return new Scene({ env: { ...supplies.env, SOURCE_ALLOW: sources.host } });
  }

  /** Gives the GPU a task that it has until the task is canceled. */
  async function occupy(client: GatewayClient, { runs }: Emulator): Promise<string> {
    const id = await client.submit({ url, workflow: 'endless' });
    await untilTrue(() => runs.length === 1);
    return id;
  }

  const detailOf = ({ stages }: TaskBody) => stages[0]?.detail ?? '';
  const isReady = (task: TaskBody) => detailOf(task) === 'Downloaded, waiting for a server';

  it('keeps no GPU from a task whose source is here', async () => {
    await using scene = openScene();
    const emulator = await scene.emulator();
    const gateway = await scene.gateway([emulator], { tempo });
    const source = held();
    const slow = await gateway.submit({ url: source.url, workflow: 'slow' });
    await untilTrue(() => source.size === 1);
    const quick = await gateway.submit({ url, workflow: 'quick' });
    await completes(gateway, quick);
    const { status, stages } = await gateway.task(slow);
    assert.deepEqual([status, stages[0]?.status], ['processing', 'running']);
    source.release();
    await completes(gateway, slow);
    assert.equal(emulator.runs.length, 2);
  });

  it('of one tenant eight times keeps no other tenant waiting', async () => {
    await using scene = openScene();
    const emulator = await scene.emulator();
    const env = { API_KEYS: API_KEYS.join(), MAX_DOWNLOADS: '2' };
    const gateway = await scene.gateway([emulator.url], { env, tempo });
    const alice = new GatewayClient(gateway.url, keys.alice);
    const bob = new GatewayClient(gateway.url, keys.bob);
    const source = held();
    const slow: string[] = [];
    for (let i = 0; i < 8; i += 1) {
      slow.push(await alice.submit({ url: source.url, workflow: 'slow' }));
    }
    // One is on its way, and one that was claimed as well waits for its turn.
    const [, second = ''] = slow;
    await alice.until(second, (task) => detailOf(task) === 'Waiting for its turn to download');
    assert.equal(
      (await bob.until(await bob.submit({ url, workflow: 'quick' }))).status,
      'completed',
    );
    const states = await Promise.all(slow.map(async (id) => (await alice.task(id)).status));
    assert.deepEqual(states.sort(), [
      ...Array<string>(6).fill('pending'),
      ...Array<string>(2).fill('processing'),
    ]);
    assert.equal(source.size, 1);
    // From here on it is as quick as any other.
    const releasing = setInterval(() => source.release(), 10);
    for (const id of slow) assert.equal((await alice.until(id)).status, 'completed');
    clearInterval(releasing);
  });

  it('brings its task before all that have not begun, once it is here', async () => {
    await using scene = openScene();
    const emulator = await scene.emulator();
    const gateway = await scene.gateway([emulator], { tempo });
    const source = held();
    const slow = await gateway.submit({ url: source.url, workflow: 'slow' });
    await untilTrue(() => source.size === 1);
    const endless = await occupy(gateway, emulator);
    const next = await gateway.submit({ url, workflow: 'quick' });
    await untilTrue(async () => (await untilStaged(gateway, emulator.url)) === next);
    const later = await gateway.submit({ url, workflow: 'quick' });
    source.release();
    await gateway.until(slow, isReady);
    await gateway.call('DELETE', `/tasks/${endless}`);
    for (const id of [next, slow, later]) assert.equal((await completes(gateway, id)).retries, 0);
    assert.deepEqual(modelsOf(emulator), ['endless', 'quick', 'slow', 'quick']);
  });

  it('gives its tenant no more turns than others have, when several come at once', async () => {
    await using scene = openScene();
    const emulator = await scene.emulator();
    const env = { API_KEYS: API_KEYS.join() };
    const gateway = await scene.gateway([emulator.url], { env, tempo });
    const alice = new GatewayClient(gateway.url, keys.alice);
    const bob = new GatewayClient(gateway.url, keys.bob);
    const endless = await occupy(alice, emulator);
    const source = held();
    const slow: string[] = [];
    for (let i = 0; i < 3; i += 1) {
      slow.push(await alice.submit({ url: source.url, workflow: 'slow' }));
    }
    await untilTrue(() => source.size === slow.length);
    source.release();
    await untilTrue(async () => {
      const tasks = await Promise.all(slow.map((id) => alice.task(id)));
      return tasks.filter(isReady).length === 2;
    });
    const quick = await bob.submit({ url, workflow: 'quick' });
    await bob.until(quick, isReady);
    await alice.call('DELETE', `/tasks/${endless}`);
    assert.equal((await bob.until(quick)).status, 'completed');
    for (const id of slow) assert.equal((await alice.until(id)).status, 'completed');
    assert.deepEqual(modelsOf(emulator), ['endless', 'slow', 'quick', 'slow', 'slow']);
  });

  it('is read once, and nothing counted, where the only backend goes away meanwhile', async () => {
    await using scene = openScene();
    const emulator = await scene.emulator();
    const gateway = await scene.gateway([emulator], { tempo });
    const source = held();
    const slow = await gateway.submit({ url: source.url, workflow: 'slow' });
    await untilTrue(() => source.size === 1);
    const endless = await occupy(gateway, emulator);
    const next = await gateway.submit({ url, workflow: 'quick' });
    await untilTrue(async () => (await untilStaged(gateway, emulator.url)) === next);
    source.release();
    await gateway.until(slow, isReady);
    const { body } = await gateway.call('GET', '/backends');
    const path = `/backends/${body.backends[0].id}`;
    await gateway.call('PATCH', path, { wanted: 'draining' });
    const waiting = await gateway.until(slow, ({ status }) => status === 'pending');
    assert.deepEqual([waiting.retries, waiting.error], [0, null]);
    await gateway.call('DELETE', `/tasks/${endless}`);
    await gateway.call('PATCH', path, { wanted: 'active' });
    for (const id of [slow, next]) assert.equal((await completes(gateway, id)).retries, 0);
    assert.equal(source.size, 0, 'it was read once more');
    await eventually(async () => assert.deepEqual(await gateway.spooled(), []));
  });
});

/** What ran, in its order. */
function modelsOf({ runs }: Emulator): string[] {
  return runs.map(({ model }) => model);
}

/** Sleeps, with the model of that name, and can be interrupted ten times a second. */
function sleeper(model: string, seconds: number): object {
  const graph = sleepGraph(seconds);
  const { '2': sleep } = graph;
  const inputs = { ...sleep.inputs, model, load_seconds: 0, ticks: Math.ceil(seconds * 10) };
  return { ...graph, '2': { ...sleep, inputs } };
}
