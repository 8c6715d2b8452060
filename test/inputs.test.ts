import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { pino } from 'pino';
import sharp from 'sharp';
import type { Emulator } from '../src/emulator/emulator.ts';
import { eventually } from './support/eventually.ts';
import { GatewayProcess } from './support/gateway-process.ts';
import { samplePng } from './support/media-samples.ts';
import {
  backendsOf,
  completes,
  isIdle,
  Scene,
  Supplies,
  untilBackend,
} from './support/pool-scene.ts';
import type { ReverseProxy } from './support/reverse-proxy.ts';
import { SourceServer } from './support/source-server.ts';
import { createTestDatabase, urlOf } from './support/test-database.ts';
import { sleepGraph } from './support/test-workflows.ts';

const kilobytes = 1024;

let supplies: Supplies;
let sources: SourceServer;
/** Larger than the limits below, and smaller. */
let large: string;
let small: string;
/** Smaller than them, but not the plain picture that is made of it. */
let turned: string;
const cleanup = new AsyncDisposableStack();

before(async () => {
  supplies = cleanup.use(await Supplies.open());
  sources = cleanup.use(await SourceServer.start());
  const png = await samplePng({ width: 200, height: 200, seed: 1 });
  assert.ok(png.length > 20 * kilobytes);
  large = sources.file('large.png', png);
  small = supplies.url;
  const jpeg = await sharp(png).withMetadata({ orientation: 6 }).jpeg({ quality: 5 }).toBuffer();
  assert.ok(jpeg.length < 10 * kilobytes);
  turned = sources.file('turned.jpg', jpeg);
  await supplies.workflows.write('some-seconds', sleepGraph(4));
});
after(() => cleanup.disposeAsync());

function scene(): Scene {
  const SOURCE_ALLOW = `${supplies.env.SOURCE_ALLOW},${sources.host}`;
  return new Scene({ env: { ...supplies.env, SOURCE_ALLOW } });
}

const uploads = ({ requests }: ReverseProxy) =>
  requests.filter(({ path }) => path === '/upload/image').length;

describe('an input that is larger than a backend takes', () => {
  it('is refused before it is sent, with the flag of ComfyUI that sets the limit', async () => {
    await using parts = scene();
    const emulator = await parts.emulator({ maxUploadBytes: 10 * kilobytes });
    const proxy = await parts.proxy(emulator.url);
    const gateway = await parts.gateway([proxy]);
    const task = await gateway.until(await gateway.submit({ url: large, workflow: 'sleep' }));
    assert.equal(task.status, 'failed');
    assert.equal(task.error_code, 'backend_upload_refused');
    assert.match(task.error ?? '', /--max-upload-size/);
    assert.equal(task.retries, 0);
    assert.equal(uploads(proxy), 0);
    await eventually(async () => assert.deepEqual(await gateway.spooled(), []));
    await completes(gateway, await gateway.submit({ url: small, workflow: 'sleep' }));
  });

  it('goes to a backend that takes it, past all others, and counts no retry', async () => {
    await using parts = scene();
    const limit = { maxUploadBytes: 10 * kilobytes };
    const few = [await parts.emulator(limit), await parts.emulator(limit)];
    const roomy = await parts.emulator();
    const gateway = await parts.gateway([...few, roomy]);
    for (let i = 0; i < 3; i += 1) {
      const id = await gateway.submit({ url: large, workflow: 'sleep' });
      assert.equal((await completes(gateway, id)).retries, 0);
    }
    assert.equal(roomy.runs.length, 3);
    assert.deepEqual(
      few.map(({ runs }) => runs.length),
      [0, 0],
    );
  });

  for (const [name, urlOfIt] of [
    ['stays', () => large],
    ['stays, as the plain picture that is sent of it,', () => turned],
  ] as const) {
    it(`${name} with the backend that takes it while another falls idle`, async () => {
      await using parts = scene();
      const tight = await parts.emulator({ maxUploadBytes: 10 * kilobytes });
      const roomy = await parts.emulator();
      const events: { readonly msg: string }[] = [];
      const write = (line: string) => void events.push(JSON.parse(line));
      const gateway = await parts.gateway([roomy], { logger: pino({ base: null }, { write }) });
      const url = urlOfIt();
      const first = await gateway.submit({ url, workflow: 'some-seconds' });
      await gateway.until(first, ({ stages }) => stages[1]?.status === 'running');
      const next = await gateway.submit({ url, workflow: 'sleep' });
      await gateway.until(next, ({ stages }) => stages[0]?.status === 'success');
      await gateway.call('POST', '/backends', { url: tight.url });
      await untilBackend(gateway, tight.url, isIdle);
      // It may be offered to the idle one by now, and takes the other nevertheless.
      assert.equal((await completes(gateway, next)).retries, 0);
      await completes(gateway, first);
      assert.deepEqual([roomy.runs.length, tight.runs.length], [2, 0]);
      // On a busy machine the roomy one may be late, which sends its task away, to the other one first.
      const told = new Set(events.map(({ msg }) => msg));
      assert.ok(told.has('attempt.undone') || !told.has('attempt.failed'), [...told].join());
    });
  }

  it('ends the task when every server behind a silent proxy has refused it, and says who did', async () => {
    await using parts = scene();
    const emulators = [
      await parts.emulator({ maxUploadBytes: 10 * kilobytes }),
      await parts.emulator({ maxUploadBytes: 10 * kilobytes }),
    ];
    const proxies = await Promise.all(emulators.map(({ url }) => parts.proxy(url)));
    const generous = await parts.emulator();
    for (const proxy of proxies) proxy.answerFrom('/features', generous.url);
    const gateway = await parts.gateway(proxies);
    const task = await gateway.until(await gateway.submit({ url: large, workflow: 'sleep' }));
    assert.equal(task.error_code, 'backend_upload_refused');
    assert.match(task.error ?? '', /--max-upload-size/);
    assert.deepEqual(proxies.map(uploads), [1, 1]);
    // From here on it is the proxies that take no more.
    for (const proxy of proxies) proxy.limitBodies(10 * kilobytes);
    const { error } = await gateway.until(
      await gateway.submit({ url: large, workflow: 'some-seconds' }),
    );
    assert.match(error ?? '', /something in front of the ComfyUI server, which itself takes 100/);
    assert.match(error ?? '', /client_max_body_size/);
    assert.doesNotMatch(error ?? '', /--max-upload-size/);
  });
});

describe('a folder that a gateway shares with a backend', () => {
  const inputDir = ({ dataDir }: Emulator) => join(dataDir, 'input');
  /** The files of attempts that lie in the folder. */
  async function inputsIn(emulator: Emulator): Promise<string[]> {
    const entries = await readdir(inputDir(emulator), { recursive: true, withFileTypes: true });
    return entries.filter((entry) => entry.isFile()).map(({ name }) => name);
  }
  const folders = async (emulator: Emulator) => await readdir(join(inputDir(emulator), 'tmlsr'));
  const isRunning = ({ stages }: { stages: { status: string }[] }) =>
    stages[1]?.status === 'running';

  async function sharing() {
    const parts = scene();
    const emulator = await parts.emulator({ maxUploadBytes: 10 * kilobytes });
    const proxy = await parts.proxy(emulator.url);
    const database = parts.use(await createTestDatabase('postgres'));
    const options = {
      database,
      env: { COMFYUI_INPUT_DIRS: `${proxy.url}=${inputDir(emulator)}` },
    };
    const gateway = await parts.gateway([proxy], options);
    return { parts, emulator, proxy, options, gateway };
  }

  it('takes inputs of any size without an upload, while they are needed', async () => {
    const { parts, emulator, proxy, gateway } = await sharing();
    await using _ = parts;
    const id = await gateway.submit({ url: large, workflow: 'long' });
    await gateway.until(id, isRunning);
    const [name] = await inputsIn(emulator);
    assert.equal(name, 'image.png');
    await completes(gateway, id);
    await eventually(async () => assert.deepEqual(await folders(emulator), []));
    assert.equal(uploads(proxy), 0);
    await eventually(async () => assert.deepEqual(await gateway.spooled(), []));
  });

  it('is cleared after a cancel and after a failure', async () => {
    const { parts, emulator, gateway } = await sharing();
    await using _ = parts;
    const canceled = await gateway.submit({ url: large, workflow: 'some-seconds' });
    await gateway.until(canceled, isRunning);
    const waiting = await gateway.submit({ url: large, workflow: 'sleep' });
    await gateway.until(waiting, ({ stages }) => stages[0]?.status === 'success');
    assert.equal((await folders(emulator)).length, 2);
    await gateway.call('DELETE', `/tasks/${waiting}`);
    await eventually(async () => assert.equal((await folders(emulator)).length, 1));
    await gateway.call('DELETE', `/tasks/${canceled}`);
    await eventually(async () => assert.deepEqual(await folders(emulator), []));

    emulator.faults.failNode('EmulatorSleep', 'no', 2);
    const failed = await gateway.until(await gateway.submit({ url: large, workflow: 'sleep' }));
    assert.equal(failed.error_code, 'execution_failed');
    assert.deepEqual(await folders(emulator), []);
  });

  it('keeps the input of a prompt that another gateway adopts, and loses it after that', async () => {
    const { parts, emulator, proxy, options, gateway } = await sharing();
    await using _ = parts;
    const id = await gateway.submit({ url: large, workflow: 'some-seconds' });
    await gateway.until(id, isRunning);
    await gateway[Symbol.asyncDispose]();
    assert.deepEqual(await inputsIn(emulator), ['image.png']);
    const successor = await parts.gateway([], {
      ...options,
      env: { ...options.env, COMFYUI_BACKENDS: proxy.url },
    });
    await completes(successor, id);
    await eventually(async () => assert.deepEqual(await folders(emulator), []));
    assert.equal(emulator.runs.length, 1);
  });

  it('is given with a server that is added, and shown to operators alone', async () => {
    await using parts = scene();
    const emulator = await parts.emulator({ maxUploadBytes: 10 * kilobytes });
    const keys = { OPERATOR_KEYS: 'boss:0123456789abcdef', API_KEYS: 'me:fedcba9876543210' };
    const gateway = await parts.gateway([], { env: keys });
    const operator = (method: 'GET' | 'POST', body?: unknown) =>
      fetch(`${gateway.url}/backends`, {
        method,
        headers: {
          authorization: 'Bearer 0123456789abcdef',
          'content-type': 'application/json',
        },
        ...(body ? { body: JSON.stringify(body) } : {}),
      });
    const relative = await operator('POST', { url: emulator.url, input_dir: 'input' });
    assert.equal(relative.status, 400);
    assert.match(await relative.text(), /input_dir: must be an absolute path/);
    const added = await operator('POST', { url: emulator.url, input_dir: inputDir(emulator) });
    assert.equal(added.status, 201);
    await eventually(async () => {
      // biome-ignore lint/suspicious/noExplicitAny: read by tests as JSON is.
      const { backends } = (await (await operator('GET')).json()) as any;
      assert.deepEqual(
        [backends[0].input_dir, backends[0].shares_inputs, backends[0].max_input_bytes],
        [inputDir(emulator), true, null],
      );
    });
    const client = { headers: { authorization: 'Bearer fedcba9876543210' } };
    assert.equal((await fetch(`${gateway.url}/backends`, client)).status, 403);
    const stats = await (await fetch(`${gateway.url}/monitor/stats`, client)).text();
    assert.match(stats, /"address":"backend-1"/);
    for (const secret of [emulator.url, emulator.dataDir]) assert.ok(!stats.includes(secret));
  });

  const unusable = {
    'is not there': () => '/nowhere/at/all',
    'is a file': () => import.meta.filename,
    'is not the one of the server': (other: string) => other,
  };
  for (const [how, folderOf] of Object.entries(unusable)) {
    it(`that ${how} is given up for uploads, and the log says why`, async () => {
      await using parts = scene();
      const emulator = await parts.emulator();
      const other = await mkdtemp(join(tmpdir(), 'tmlsr-other-'));
      parts.defer(() => rm(other, { recursive: true, force: true }));
      const dataDir = await mkdtemp(join(tmpdir(), 'tmlsr-data-'));
      parts.defer(() => rm(dataDir, { recursive: true, force: true }));
      const database = parts.use(await createTestDatabase('postgres'));
      const { log, client } = parts.use(
        await GatewayProcess.start({
          ...supplies.env,
          DATABASE_URL: urlOf(database),
          DATA_DIR: dataDir,
          COMFYUI_BACKENDS: emulator.url,
          COMFYUI_INPUT_DIRS: `${emulator.url}=${folderOf(other)}`,
        }),
      );
      await eventually(async () => {
        const { body } = await client.call('GET', '/backends');
        assert.equal(body.backends[0].state, 'idle');
      });
      const task = await client.until(await client.submit({ url: small, workflow: 'sleep' }));
      assert.equal(task.status, 'completed');
      const said = log.filter(({ msg }) => msg === 'inputs.not-shared');
      assert.equal(said.length, 1);
      assert.equal(typeof said[0]?.reason, 'string');
      assert.deepEqual(await readdir(join(other, 'tmlsr')).catch(() => []), []);
    });
  }

  it('that goes away is done without', async () => {
    await using parts = scene();
    const emulator = await parts.emulator();
    const proxy = await parts.proxy(emulator.url);
    const gateway = await parts.gateway([proxy], {
      env: { COMFYUI_INPUT_DIRS: `${proxy.url}=${inputDir(emulator)}` },
    });
    const [backend] = (await backendsOf(gateway)) as unknown as { shares_inputs: boolean }[];
    assert.equal(backend?.shares_inputs, true);
    // A file where the folder was.
    await rm(join(inputDir(emulator), 'tmlsr'), { recursive: true });
    const blocked = join(inputDir(emulator), 'tmlsr');
    await writeFile(blocked, '');
    const waiting = gateway.submit({ url: small, workflow: 'sleep' });
    await eventually(async () => assert.ok(uploads(proxy) > 0));
    await rm(blocked);
    await completes(gateway, await waiting);
  });
});
