import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { ALL_FORMATS, BufferSource, Input } from 'mediabunny';
import { request } from 'undici';
import { Emulator } from '../src/emulator/emulator.ts';
import { eventually } from './support/eventually.ts';
import type { TaskBody } from './support/gateway-client.ts';
import { type BackendBody, isIdle, untilBackend } from './support/pool-scene.ts';
import { SourceServer } from './support/source-server.ts';
import { createTestDatabase } from './support/test-database.ts';
import { TestGateway } from './support/test-gateway.ts';
import { createTestWorkflows, type TestWorkflows } from './support/test-workflows.ts';
import { vhsCombines, vhsLoadsAsItIs } from './support/vhs-values.ts';

const save = { filename_prefix: 'out', format: 'auto', codec: 'auto' };
/** The frames go through as they are. */
const frames = {
  '1': { class_type: 'LoadVideo', inputs: { file: 'a.mp4' } },
  '5': { class_type: 'GetVideoComponents', inputs: { video: ['1', 0] } },
  '6': {
    class_type: 'CreateVideo',
    inputs: { images: ['5', 0], audio: ['5', 1], fps: ['5', 2] },
  },
  '4': { class_type: 'SaveVideo', inputs: { video: ['6', 0], ...save } },
};
/** The sound may be encoded, and no link of it can be left out. */
const whole = {
  '1': frames['1'],
  '4': { class_type: 'SaveVideo', inputs: { video: ['1', 0], ...save, format: 'mp4' } },
};
const vhs = {
  '1': {
    class_type: 'VHS_LoadVideo',
    inputs: { video: 'a.mp4', ...vhsLoadsAsItIs },
  },
  '4': {
    class_type: 'VHS_VideoCombine',
    inputs: { images: ['1', 0], audio: ['1', 2], ...vhsCombines },
  },
};

async function media(name: string): Promise<Buffer> {
  return await readFile(new URL(`media/${name}`, import.meta.url));
}

/** Eight channels, of which no server is known to make what they are. No encoder ever hears them. */
async function unusualSound(): Promise<Buffer> {
  const clip = await media('clips/surround.mp4');
  // The channels in the AudioSpecificConfig (ISO 14496-3 §1.6.2.1).
  const at = clip.indexOf(Buffer.from('15b056', 'hex'));
  clip.writeUInt8(0xb8, at + 1);
  return clip;
}

async function hasSound({ output }: TaskBody): Promise<boolean> {
  const { body } = await request(output?.url ?? '');
  const source = new BufferSource(await body.arrayBuffer());
  using input = new Input({ source, formats: ALL_FORMATS });
  return (await input.getPrimaryAudioTrack()) !== null;
}

const codes = ({ warnings }: TaskBody) => warnings.map(({ code }) => code);

async function writeGraphs(workflows: TestWorkflows): Promise<void> {
  for (const [name, graph] of Object.entries({ frames, whole, vhs })) {
    await workflows.write(name, graph);
  }
}

describe('servers of several versions', () => {
  const cleanup = new AsyncDisposableStack();
  let old: Emulator;
  let recent: Emulator;
  let sources: SourceServer;
  let gateway: TestGateway;

  before(async () => {
    old = cleanup.use(await Emulator.start({ loaders: '0.3.64' }));
    recent = cleanup.use(await Emulator.start({ loaders: '0.33' }));
    sources = cleanup.use(await SourceServer.start());
    const workflows = cleanup.use(await createTestWorkflows(0.01));
    await writeGraphs(workflows);
    gateway = cleanup.use(
      await TestGateway.start({
        engine: 'postgres',
        backends: [old.url, recent.url],
        env: { SOURCE_ALLOW: sources.host, WORKFLOWS_DIR: workflows.folder },
      }),
    );
    for (const { url } of [old, recent]) await untilBackend(gateway, url, isIdle);
  });
  after(() => cleanup.disposeAsync());

  const runsOf = (emulators: readonly Emulator[]) => emulators.map(({ runs }) => runs.length);

  /** What became of it, and how many prompts each server has run for it. */
  async function run(name: string, bytes: Buffer, workflow = 'frames') {
    const before = runsOf([old, recent]);
    const url = sources.file(`${crypto.randomUUID()}-${name}`, bytes);
    const task = await gateway.until(await gateway.submit({ url, workflow }));
    const runs = runsOf([old, recent]).map((count, index) => count - (before[index] ?? 0));
    return { task, ran: { old: runs[0], recent: runs[1] } };
  }

  const onRecent = { old: 0, recent: 1 };
  const onOld = { old: 1, recent: 0 };

  async function want({ url }: Emulator, wanted: 'active' | 'draining'): Promise<void> {
    const { id } = await untilBackend(gateway, url, () => true);
    assert.equal((await gateway.call('PATCH', `/backends/${id}`, { wanted })).status, 200);
    const state = wanted === 'active' ? 'idle' : 'draining';
    await untilBackend(gateway, url, (backend) => backend.state === state);
  }

  it('are told apart, with what each gets wrong', async () => {
    const [first, second] = await Promise.all(
      [old, recent].map(({ url }) => untilBackend(gateway, url, isIdle)),
    );
    const wrong = (backend?: BackendBody) => (backend as { gets_wrong?: string[] }).gets_wrong;
    assert.ok(wrong(first)?.includes('does not turn clips upright (mended in 0.21.0)'));
    assert.deepEqual(wrong(second), []);
  });

  it('get a source that one misreads to the other, also where the one is idle', async () => {
    const turned = await run('rot90.mp4', await media('cases/rot90.mp4'));
    assert.deepEqual(
      [turned.task.status, turned.ran, codes(turned.task)],
      ['completed', onRecent, []],
    );
    const surround = await run('surround.mp4', await media('clips/surround.mp4'));
    assert.deepEqual([surround.ran, codes(surround.task)], [onRecent, []]);
    assert.equal(await hasSound(surround.task), true);
    // VideoHelperSuite turns clips on all of them: whoever was idle for longest has the task.
    assert.deepEqual((await run('rot90.mp4', await media('cases/rot90.mp4'), 'vhs')).ran, onOld);
  });

  it('do with the one that misreads it where the other is away, and say so', async () => {
    await want(recent, 'draining');
    const turned = await run('rot90.mp4', await media('cases/rot90.mp4'));
    assert.deepEqual(
      [turned.task.status, turned.ran, codes(turned.task)],
      ['completed', onOld, []],
    );
    const { width, height } = turned.task.output?.metadata ?? {};
    assert.deepEqual([width, height], [48, 64], 'the gateway has it turned');
    const deep = await run('hdr.mp4', await media('cases/hdr.mp4'));
    assert.deepEqual([deep.ran, codes(deep.task)], [onOld, ['hdr_source', 'depth_lost']]);
    assert.match(deep.task.warnings[1]?.message ?? '', /^ComfyUI 0\.3\.64\S* reads clips of more/);
    const surround = await run('surround.mp4', await media('clips/surround.mp4'));
    assert.deepEqual([surround.ran, codes(surround.task)], [onOld, ['sound_left_out']]);
    assert.equal(await hasSound(surround.task), false);
    await want(recent, 'active');
  });

  it('get no sound that none of them is known to take', async () => {
    const unusual = await run('unusual.mp4', await unusualSound());
    assert.deepEqual(codes(unusual.task), ['sound_left_out'], unusual.task.error ?? '');
    assert.equal(await hasSound(unusual.task), false);
    const kept = await run('unusual.mp4', await unusualSound(), 'whole');
    assert.deepEqual(
      [kept.task.error_code, kept.ran],
      ['media_unsupported', { old: 0, recent: 0 }],
    );
  });

  it('get silent clips through VideoHelperSuite, whose promise of sound fails on new ones', async () => {
    await want(old, 'draining');
    const silent = await run('rot90.mp4', await media('cases/rot90.mp4'), 'vhs');
    assert.deepEqual([silent.task.status, codes(silent.task)], ['completed', []]);
    const sound = await run('longaudio.mp4', await media('cases/longaudio.mp4'), 'vhs');
    assert.equal(await hasSound(sound.task), true);
    await want(old, 'active');
  });
});

describe('servers of several versions that two gateways share', () => {
  it('get a source that one misreads to the other, whoever drives it', async () => {
    await using cleanup = new AsyncDisposableStack();
    const old = cleanup.use(await Emulator.start({ loaders: '0.3.64' }));
    const recent = cleanup.use(await Emulator.start({ loaders: '0.33' }));
    const sources = cleanup.use(await SourceServer.start());
    const workflows = cleanup.use(await createTestWorkflows(0.01));
    await writeGraphs(workflows);
    const database = cleanup.use(await createTestDatabase('postgres'));
    const env = { SOURCE_ALLOW: sources.host, WORKFLOWS_DIR: workflows.folder };
    const shared = { engine: 'postgres', database, backends: [old.url, recent.url], env } as const;
    const first = cleanup.use(await TestGateway.start(shared));
    cleanup.use(await TestGateway.start(shared));
    await eventually(async () => {
      const { body } = await first.call('GET', '/backends');
      const drivers = body.backends.map((each: { gateway: string | null }) => each.gateway);
      assert.equal(new Set(drivers).size, 2);
      assert.ok(body.backends.every(isIdle));
    });
    const bytes = await media('cases/rot90.mp4');
    const turnSome = async (round: number) => {
      const before = old.runs.length;
      const urls = [0, 1, 2].map((i) => sources.file(`${round}-${i}.mp4`, bytes));
      const ids = await Promise.all(urls.map((url) => first.submit({ url, workflow: 'frames' })));
      for (const id of ids) {
        const task = await first.until(id);
        assert.deepEqual([task.status, task.retries, task.warnings], ['completed', 0, []]);
      }
      return old.runs.length - before;
    };
    // A gateway hears a little later of the servers that the other one drives.
    const misread = (await turnSome(0)) && (await turnSome(1)) && (await turnSome(2));
    assert.equal(misread, 0);
  });
});
