import assert from 'node:assert/strict';
import { type FileHandle, open, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, describe, it, mock } from 'node:test';
import { request } from 'undici';
import { Emulator } from '../src/emulator/emulator.ts';
import { eventually } from './support/eventually.ts';
import { multipartForm } from './support/form.ts';
import { samplePng } from './support/media-samples.ts';
import { SourceServer } from './support/source-server.ts';
import { TestGateway } from './support/test-gateway.ts';
import { createTestWorkflows, type TestWorkflows } from './support/test-workflows.ts';

interface ErrorAnswer {
  readonly status: number;
  readonly code: string;
}

describe('a disk that is full', () => {
  const cleanup = new AsyncDisposableStack();
  const full = Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
  let handles: FileHandle;
  let emulator: Emulator;
  let sources: SourceServer;
  let workflows: TestWorkflows;
  let gateway: TestGateway;
  let picture: Buffer;
  let url: string;

  before(async () => {
    const probe = await open(import.meta.filename);
    handles = Object.getPrototypeOf(probe) as FileHandle;
    await probe.close();
    emulator = cleanup.use(await Emulator.start());
    sources = cleanup.use(await SourceServer.start());
    workflows = cleanup.use(await createTestWorkflows(0.01));
    picture = await samplePng({ width: 16, height: 16, seed: 1 });
    url = sources.file('a.png', picture);
    gateway = cleanup.use(await start({}));
  });
  afterEach(() => mock.restoreAll());
  after(() => cleanup.disposeAsync());

  async function start(env: Record<string, string>): Promise<TestGateway> {
    return await TestGateway.start({
      engine: 'pglite',
      backends: [emulator.url],
      env: { SOURCE_ALLOW: sources.host, WORKFLOWS_DIR: workflows.folder, ...env },
    });
  }

  /** What a file is filled by: sources and uploads in the spool, objects in the store. */
  function fillDisk(): void {
    mock.method(handles, 'writev', () => Promise.reject(full));
  }

  /** What an object is finished by, and nothing else: the spool has room. */
  function fillStore(): void {
    mock.method(handles, 'sync', () => Promise.reject(full));
  }

  async function files(folder: string): Promise<string[]> {
    const entries = await readdir(join(gateway.dataDir, folder), {
      recursive: true,
      withFileTypes: true,
    });
    return entries
      .filter((entry) => entry.name !== '.tmp' && !entry.name.endsWith('.lock'))
      .filter((entry) => entry.isFile() || folder === 'objects')
      .map(({ name }) => name);
  }

  async function send(method: 'POST' | 'PUT', to: string, parts: object): Promise<ErrorAnswer> {
    const { statusCode, body } = await request(to, { method, ...parts });
    const { code } = (await body.json()) as { code: string };
    return { status: statusCode, code };
  }

  function form(): { headers: { 'content-type': string }; body: Buffer } {
    const { contentType, body } = multipartForm([
      ['file', { bytes: picture, fileName: 'a.png' }],
      ['workflow', 'sleep'],
    ]);
    return { headers: { 'content-type': contentType }, body };
  }

  async function openUpload(): Promise<string> {
    const { body } = await gateway.call('POST', '/uploads', { name: 'a.png' });
    return body.url;
  }

  it('refuses files with 507, and keeps nothing of them', async () => {
    const upload = await openUpload();
    const before = await files('objects');
    for (const [fill, code] of [
      [fillDisk, 'spool_full'],
      [fillStore, 'storage_full'],
    ] as const) {
      fill();
      const tasks = await gateway.newest();
      assert.deepEqual(await send('POST', `${gateway.url}/tasks`, form()), { status: 507, code });
      assert.deepEqual(await send('PUT', upload, { body: picture }), { status: 507, code });
      assert.equal((await gateway.newest()).length, tasks.length);
      await eventually(async () => assert.deepEqual(await gateway.spooled(), []));
      await eventually(async () => assert.deepEqual(await files('objects'), before));
      mock.restoreAll();
    }
  });

  it('is told to load balancers, which go on to send requests', async () => {
    const folder = join(gateway.dataDir, 'objects', '.tmp');
    await rename(folder, `${folder}-away`);
    const { status, body } = await gateway.call('GET', '/ready');
    await rename(`${folder}-away`, folder);
    assert.deepEqual([status, body.status], [200, 'ready']);
    const { database, store, servers } = body.checks;
    assert.deepEqual(database, { ok: true, reason: null });
    assert.deepEqual(store, { ok: false, reason: 'The disk that keeps the results failed' });
    assert.equal(typeof servers.ok, 'boolean');
  });

  it('refuses files with 507 while the spool holds as much as it may', async () => {
    const stalled = Promise.withResolvers<void>();
    const slow = sources.answer('slow.png', async (_request, response) => {
      response.writeHead(200, { 'content-length': picture.length });
      response.write(picture.subarray(0, 500));
      await stalled.promise;
      response.end(picture.subarray(500));
    });
    await using small = await start({ MAX_SPOOL_BYTES: '100' });
    const id = await small.submit({ url: slow, workflow: 'sleep' });
    await eventually(async () => assert.equal((await small.spooled()).length, 1));
    await small.until(id, ({ stages }) => (stages[0]?.progress ?? 0) > 0);
    const refused = await send('POST', `${small.url}/tasks`, form());
    assert.deepEqual(refused, { status: 507, code: 'spool_full' });
    stalled.resolve();
    assert.equal((await small.until(id)).status, 'completed');
    const taken = await request(`${small.url}/tasks`, { method: 'POST', ...form() });
    await taken.body.dump();
    assert.equal(taken.statusCode, 200);
  });

  it('keeps a download waiting, which goes on by itself', async () => {
    fillDisk();
    const id = await gateway.submit({ url, workflow: 'sleep' });
    const waiting = await gateway.until(id, ({ stages }) => /room/.test(stages[0]?.detail ?? ''));
    assert.equal(waiting.status, 'processing');
    await eventually(async () => assert.deepEqual(await gateway.spooled(), []));
    mock.restoreAll();
    const done = await gateway.until(id);
    assert.deepEqual([done.status, done.retries], ['completed', 0], done.error ?? '');
  });

  it('keeps a result waiting without a second run, and leaves no part of it', async () => {
    const runs = emulator.runs.length;
    fillStore();
    const before = await files('objects');
    const id = await gateway.submit({ url, workflow: 'sleep' });
    await gateway.until(id, ({ stages }) => /room/.test(stages[2]?.detail ?? ''));
    await eventually(async () => assert.deepEqual(await files('objects'), before));
    mock.restoreAll();
    const done = await gateway.until(id);
    assert.deepEqual([done.status, done.retries], ['completed', 0], done.error ?? '');
    await eventually(async () => assert.deepEqual(await gateway.spooled(), []));
    assert.equal(emulator.runs.length, runs + 1);
  });
});
