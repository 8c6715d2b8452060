import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { request } from 'undici';
import { realTempo } from '../src/core/tempo.ts';
import type { Database } from '../src/db/connect.ts';
import { eq, sql } from '../src/db/drizzle.ts';
import { uploads as uploadsTable } from '../src/db/schema.ts';
import { Emulator } from '../src/emulator/emulator.ts';
import { DiskStore } from '../src/storage/disk-store.ts';
import { UploadService } from '../src/tasks/upload-service.ts';
import { UploadStore } from '../src/tasks/upload-store.ts';
import { createLogger } from '../src/telemetry/logger.ts';
import { UploadLog } from '../src/telemetry/upload-log.ts';
import { eventually } from './support/eventually.ts';
import { type FormFile, multipartForm } from './support/form.ts';
import { type Answer, hasEnded, type TaskBody } from './support/gateway-client.ts';
import { sampleMp4, samplePng } from './support/media-samples.ts';
import {
  connectTestDatabase,
  createTestDatabase,
  type TestDatabase,
} from './support/test-database.ts';
import { TestGateway } from './support/test-gateway.ts';
import { createTestWorkflows, type TestWorkflows } from './support/test-workflows.ts';

const keys = { alice: 'alice-secret-0123456789', bob: 'bob-secret-0123456789' };

/** A picture and another one, of which the second has the say how large the result is. */
const twoFiles = {
  '1': { class_type: 'LoadImage', inputs: { image: 'a.png' }, _meta: { title: '@input:image' } },
  '2': { class_type: 'LoadImage', inputs: { image: 'b.png' }, _meta: { title: '@input:mask' } },
  '3': { class_type: 'SaveImage', inputs: { images: ['1', 0], filename_prefix: 'out' } },
  '4': { class_type: 'SaveImage', inputs: { images: ['2', 0], filename_prefix: 'out' } },
};

type Part = readonly [name: string, value: string | FormFile];

describe('files that clients send', () => {
  const cleanup = new AsyncDisposableStack();
  let emulator: Emulator;
  let workflows: TestWorkflows;
  let testDatabase: TestDatabase;
  let database: Database;
  let gateway: TestGateway;
  let png: Buffer;

  before(async () => {
    emulator = cleanup.use(await Emulator.start());
    workflows = cleanup.use(await createTestWorkflows(1));
    await workflows.write('two_files', twoFiles);
    testDatabase = cleanup.use(await createTestDatabase('postgres'));
    gateway = cleanup.use(await startGateway());
    database = cleanup.use(await connectTestDatabase(testDatabase.options));
    png = await samplePng({ width: 24, height: 16, seed: 1 });
  });
  after(() => cleanup.disposeAsync());

  async function startGateway(
    options: Partial<Parameters<typeof TestGateway.start>[0]> = {},
  ): Promise<TestGateway> {
    return await TestGateway.start({
      engine: 'postgres',
      database: testDatabase,
      backends: [emulator.url],
      ...options,
      env: {
        WORKFLOWS_DIR: workflows.folder,
        MAX_SOURCE_BYTES: '300000',
        MAX_IMAGE_BYTES: '200000',
        API_KEYS: `alice:${keys.alice},bob:${keys.bob}`,
        ...options.env,
      },
    });
  }

  const file = (bytes: Buffer = png, fileName = 'a.png'): FormFile => ({ bytes, fileName });

  async function send(
    method: 'POST' | 'PUT',
    path: string,
    { body, type, who = 'alice' }: { body: Buffer; type?: string; who?: keyof typeof keys | null },
    to = gateway,
  ): Promise<Answer> {
    const response = await request(path.startsWith('http') ? path : `${to.url}${path}`, {
      method,
      headers: {
        ...(type ? { 'content-type': type } : {}),
        ...(who ? { authorization: `Bearer ${keys[who]}` } : {}),
      },
      body,
    });
    const { statusCode: status, headers } = response;
    return { status, headers, body: await response.body.json() };
  }

  async function sendForm(parts: readonly Part[], to = gateway): Promise<Answer> {
    const { body, contentType } = multipartForm(parts);
    return await send('POST', '/tasks', { body, type: contentType }, to);
  }

  async function call(path: string, body: object, who: keyof typeof keys = 'alice') {
    return await send('POST', path, {
      body: Buffer.from(JSON.stringify(body)),
      type: 'application/json',
      who,
    });
  }

  async function taskOf(answer: Answer, at = gateway): Promise<TaskBody> {
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    return await eventually(async () => {
      const response = await request(`${at.url}/tasks/${answer.body.task_id}`, {
        headers: { authorization: `Bearer ${keys.alice}` },
      });
      const task = (await response.body.json()) as TaskBody;
      assert.ok(hasEnded(task), JSON.stringify(task));
      return task;
    }, 30_000);
  }

  async function completed(answer: Answer, at = gateway): Promise<TaskBody> {
    const task = await taskOf(answer, at);
    assert.equal(task.status, 'completed', `${task.error_code}: ${task.error}`);
    return task;
  }

  /** Whose ids are on record, and which files lie in the store. */
  async function kept(at = gateway): Promise<{ rows: string[]; files: string[] }> {
    const rows = await database.orm.select({ id: uploadsTable.id }).from(uploadsTable);
    const folder = join(at.dataDir, 'objects', 'uploads');
    const files = await readdir(folder).catch(() => []);
    return { rows: rows.map(({ id }) => id), files };
  }

  async function nothingIsLeft(at = gateway): Promise<void> {
    await eventually(async () => {
      assert.deepEqual(await kept(at), { rows: [], files: [] });
      await eventually(async () => assert.deepEqual(await at.spooled(), []));
    }, 5_000);
  }

  async function assertRefused(answer: Answer, code: string, field?: string): Promise<void> {
    assert.equal(answer.body.code, code, JSON.stringify(answer.body));
    assert.equal(answer.body.field, field, JSON.stringify(answer.body));
    assert.ok(answer.status >= 400 && answer.status < 500);
    assert.doesNotMatch(JSON.stringify(answer.body), /node_modules|\.ts:|spool\/|objects\//);
  }

  describe('in a form', () => {
    it('work on the file, its fields before and behind it, and forget it', async () => {
      const answer = await sendForm([
        ['type', 'image'],
        ['file', file()],
        ['outscale', '2'],
        ['priority', '7'],
        ['model', ''],
      ]);
      const task = await completed(answer);
      const { width, height } = task.output?.metadata ?? {};
      assert.deepEqual([width, height], [48, 32]);
      assert.match(String(task.params.url), /^upload:[0-9a-f-]{36}$/);
      assert.equal(task.params.outscale, 2);
      assert.equal(task.params.priority, 7);
      assert.match(task.output?.url ?? '', /\/a\.png$/);
      await nothingIsLeft();
    });

    for (const dims of ['40x30', '40,30', '[40, 30]', ' 40 × 30 ']) {
      it(`take a size written as ${dims}`, async () => {
        const answer = await sendForm([
          ['type', 'image'],
          ['output_dims', dims],
          ['file', file()],
        ]);
        const { width, height } = (await completed(answer)).output?.metadata ?? {};
        assert.deepEqual([width, height], [40, 30]);
      });
    }

    it('go to the inputs that they are named by', async () => {
      const mask = await samplePng({ width: 9, height: 7, seed: 2 });
      const answer = await sendForm([
        ['workflow', 'two_files.json'],
        ['mask', file(mask, 'm.png')],
        ['file', file()],
      ]);
      const task = await completed(answer);
      const widths = task.outputs.map(({ metadata }) => metadata.width);
      assert.deepEqual(widths.sort(), [24, 9]);
      await nothingIsLeft();
    });

    it('may be clips', async () => {
      const clip = await sampleMp4({ width: 32, height: 32, frames: 4, fps: 8, seed: 1 });
      const answer = await sendForm([['file', file(clip, 'a.bin')]]);
      assert.equal((await completed(answer)).output?.metadata.content_type, 'video/mp4');
      await nothingIsLeft();
    });

    it('are for the workflow to judge where they need more than a look', async () => {
      const task = await taskOf(
        await sendForm([
          ['type', 'video'],
          ['file', file()],
        ]),
      );
      assert.equal(task.error_code, 'media_mismatch');
      const cut = png.subarray(0, png.length - 40);
      const truncated = await taskOf(
        await sendForm([
          ['type', 'image'],
          ['file', file(cut)],
        ]),
      );
      assert.equal(truncated.error_code, 'media_corrupt');
      await nothingIsLeft();
    });

    const image: Part = ['type', 'image'];
    const noise = Buffer.alloc(5_000, 'just some text ');
    const large = (bytes: number) => Buffer.concat([png, Buffer.alloc(bytes)]);
    const refusals: [name: string, parts: () => readonly Part[], code: string, field?: string][] = [
      ['no file', () => [image], 'invalid_request', 'url'],
      ['a file that is none', () => [image, ['file', 'x']], 'invalid_request', 'file'],
      ['an empty file', () => [image, ['file', file(Buffer.alloc(0))]], 'source_empty'],
      ['text in place of a picture', () => [image, ['file', file(noise)]], 'media_unsupported'],
      ['a short text', () => [image, ['file', file(Buffer.from('hi'))]], 'media_unsupported'],
      ['an image that is too large', () => [['file', file(large(200_000))]], 'source_too_large'],
      [
        'two files of one name',
        () => [
          ['file', file()],
          ['file', file()],
        ],
        'invalid_request',
        'file',
      ],
      [
        'a file and an address',
        () => [image, ['url', 'https://example.com/a.png'], ['file', file()]],
        'invalid_request',
        'file',
      ],
      [
        'a file and an address for one input',
        () => [
          ['workflow', 'two_files'],
          ['inputs', '{"mask": "x"}'],
          ['mask', file()],
          ['file', file()],
        ],
        'invalid_request',
        'mask',
      ],
      [
        'a file for no input',
        () => [image, ['file', file()], ['mask', file()]],
        'invalid_request',
        'inputs.mask',
      ],
      [
        'an unknown workflow',
        () => [
          ['file', file()],
          ['workflow', 'nope'],
        ],
        'workflow_unknown',
        'workflow',
      ],
      [
        'a bad field',
        () => [
          ['file', file()],
          ['outscale', 'big'],
        ],
        'invalid_request',
        'outscale',
      ],
      [
        'bad inputs',
        () => [
          ['file', file()],
          ['inputs', '{"a"'],
        ],
        'invalid_request',
        'inputs',
      ],
      [
        'a NUL',
        () => [
          ['file', file()],
          ['model', 'a\0b'],
        ],
        'invalid_request',
      ],
    ];
    for (const [name, parts, code, field] of refusals) {
      it(`are refused with ${name}, and nothing of it is left`, async () => {
        await assertRefused(await sendForm(parts()), code, field);
        await nothingIsLeft();
      });
    }

    it('are refused when the form is broken', async () => {
      const { body, contentType } = multipartForm([image, ['file', file()]]);
      const cut = { body: body.subarray(0, -50), type: contentType };
      await assertRefused(await send('POST', '/tasks', cut), 'invalid_request');
      const other = { body, type: 'multipart/form-data; boundary=x' };
      await assertRefused(await send('POST', '/tasks', other), 'invalid_request');
      const without = { body, type: 'multipart/form-data' };
      await assertRefused(await send('POST', '/tasks', without), 'invalid_request');
      await nothingIsLeft();
    });

    it('are not read without a key', async () => {
      const { body, contentType } = multipartForm([image, ['file', file()]]);
      const answer = await send('POST', '/tasks', { body, type: contentType, who: null });
      assert.equal(answer.status, 401);
      await nothingIsLeft();
    });

    it('leave nothing when the client goes away half-way', async () => {
      const { body, contentType } = multipartForm([image, ['file', file(large(100_000))]]);
      const { hostname, port } = new URL(gateway.url);
      const socket = connect(Number(port), hostname);
      await once(socket, 'connect');
      socket.write(
        `POST /tasks HTTP/1.1\r\nhost: x\r\ncontent-type: ${contentType}\r\n` +
          `authorization: Bearer ${keys.alice}\r\ncontent-length: ${body.length}\r\n\r\n`,
      );
      socket.write(body.subarray(0, 60_000));
      await eventually(async () => assert.equal((await gateway.spooled()).length, 1));
      socket.destroy();
      await nothingIsLeft();
    });

    it('are gone when their task is canceled', async () => {
      const answer = await sendForm([
        ['workflow', 'sleep'],
        ['file', file()],
      ]);
      assert.equal((await kept()).rows.length, 1);
      await request(`${gateway.url}/tasks/${answer.body.task_id}`, {
        method: 'DELETE',
        headers: { authorization: `Bearer ${keys.alice}` },
      });
      assert.equal((await taskOf(answer)).status, 'canceled');
      await nothingIsLeft();
    });
  });

  describe('at a gateway of their own', () => {
    async function start(
      parts: AsyncDisposableStack,
      backends: readonly string[],
      env: Readonly<Record<string, string>>,
    ): Promise<TestGateway> {
      const own = parts.use(await createTestDatabase('postgres'));
      return parts.use(await startGateway({ backends, env, database: own }));
    }

    async function noFileIsLeft({ dataDir }: TestGateway): Promise<void> {
      const folder = join(dataDir, 'objects', 'uploads');
      // Long before they would be swept.
      const left = () => readdir(folder).catch(() => []);
      await eventually(async () => assert.deepEqual(await left(), []), 5_000);
    }

    it('are gone with the end of every task that shared a run', async () => {
      await using parts = new AsyncDisposableStack();
      const own = parts.use(await Emulator.start());
      const at = await start(parts, [own.url], { CACHE: 'on' });
      const form: Part[] = [
        ['workflow', 'sleep'],
        ['file', file()],
      ];
      const answers = await Promise.all([sendForm(form, at), sendForm(form, at)]);
      for (const answer of answers) await completed(answer, at);
      assert.equal(own.runs.length, 1);
      await noFileIsLeft(at);
    });

    it('are gone when nobody began their task in time', async () => {
      await using parts = new AsyncDisposableStack();
      const at = await start(parts, [], { QUEUE_WHEN_UNAVAILABLE: 'true' });
      const answer = await sendForm(
        [
          ['type', 'image'],
          ['queue_timeout', '1'],
          ['file', file()],
        ],
        at,
      );
      assert.equal((await taskOf(answer, at)).error_code, 'queue_timeout');
      await noFileIsLeft(at);
    });
  });

  it('are there for another gateway when theirs is gone', async () => {
    await using parts = new AsyncDisposableStack();
    const dataDir = await mkdtemp(join(tmpdir(), 'tmlsr-uploads-'));
    parts.defer(() => rm(dataDir, { recursive: true }));
    const options = {
      engine: 'postgres',
      database: parts.use(await createTestDatabase('postgres')),
      dataDir,
      env: {
        WORKFLOWS_DIR: workflows.folder,
        API_KEYS: `alice:${keys.alice}`,
        QUEUE_WHEN_UNAVAILABLE: 'true',
      },
    } as const;
    const first = await TestGateway.start({ ...options, backends: [] });
    const answer = await sendForm(
      [
        ['type', 'image'],
        ['file', file()],
      ],
      first,
    );
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    await first[Symbol.asyncDispose]();

    const own = parts.use(await Emulator.start());
    const second = parts.use(await TestGateway.start({ ...options, backends: [own.url] }));
    await completed(answer, second);
  });

  describe('ahead of their task', () => {
    async function open(who: keyof typeof keys = 'alice', body: object = {}) {
      const answer = await call('/uploads', body, who);
      assert.equal(answer.status, 201, JSON.stringify(answer.body));
      return answer.body as {
        upload_id: string;
        source: string;
        url: string;
        method: string;
        expires_at: string;
      };
    }

    it('are put where the gateway says, without a key, and worked on', async () => {
      const upload = await open('alice', { name: 'a.png', content_type: 'image/png' });
      assert.equal(upload.method, 'PUT');
      assert.equal(upload.source, `upload:${upload.upload_id}`);
      assert.ok(Date.parse(upload.expires_at) > Date.now());
      for (const _ of ['once', 'and again, because the answer was lost']) {
        const put = await send('PUT', upload.url, { body: png, who: null });
        assert.deepEqual(put.body, { upload_id: upload.upload_id, size_bytes: png.length });
      }
      const task = { url: upload.source, workflow: 'two_files', inputs: { mask: upload.source } };
      const answers = [await call('/tasks', task), await call('/tasks', task)];
      for (const answer of answers) await completed(answer);
      await eventually(async () => assert.deepEqual((await kept()).files, []), 5_000);
      await assertRefused(await send('PUT', upload.url, { body: png }), 'upload_not_found');
      await assertRefused(await call('/tasks', task), 'source_not_found', 'url');
    });

    it('are not there for others, nor before they are sent', async () => {
      const { source, url } = await open('alice');
      const task = { url: source, type: 'image' };
      await assertRefused(await call('/tasks', task), 'source_not_found', 'url');
      await send('PUT', url, { body: png });
      await assertRefused(await call('/tasks', task, 'bob'), 'source_not_found', 'url');
      const asMask = { url: source, workflow: 'two_files', inputs: { mask: 'upload:x' } };
      await assertRefused(await call('/tasks', asMask), 'source_not_found', 'inputs.mask');
      const unknown = { url: `upload:${randomUUID()}`, type: 'image' };
      await assertRefused(await call('/tasks', unknown), 'source_not_found', 'url');
      await completed(await call('/tasks', task));
    });

    it('are refused where they are no pictures or clips, too large, or to nowhere', async () => {
      const { url } = await open();
      const text = { body: Buffer.alloc(300_000, 'text ') };
      await assertRefused(await send('PUT', url, text), 'media_unsupported');
      const large = { body: Buffer.concat([png, Buffer.alloc(200_000)]) };
      await assertRefused(await send('PUT', url, large), 'source_too_large');
      await assertRefused(await send('PUT', url, { body: Buffer.alloc(0) }), 'source_empty');
      for (const id of [randomUUID(), 'x', '..%2f..%2fetc']) {
        const answer = await send('PUT', `/uploads/${id}`, { body: png });
        await assertRefused(answer, 'upload_not_found');
        assert.equal(answer.status, 404);
      }
      assert.deepEqual((await kept()).files, []);
      await eventually(async () => assert.deepEqual(await gateway.spooled(), []));
    });

    it('are opened for those with a key only, and with what makes sense', async () => {
      const body = Buffer.from('{}');
      const stranger = { body, type: 'application/json', who: null };
      assert.equal((await send('POST', '/uploads', stranger)).status, 401);
      const refusal = await call('/uploads', { content_type: 'a\nb' });
      await assertRefused(refusal, 'invalid_request', 'content_type');
      await open('alice', { name: 'a\0b' });
    });
  });

  it('are swept when nobody came for them, and not before', async () => {
    const store = await DiskStore.open({
      root: join(gateway.dataDir, 'objects'),
      publicUrl: null,
    });
    const service = new UploadService({
      uploads: new UploadStore(database.orm),
      store,
      intake: { receive: () => assert.fail('nothing is sent here') },
      quotas: { check: async () => {} },
      maxBytes: 1_000,
      tempo: realTempo.uploads,
      log: new UploadLog(createLogger('silent')),
    });
    const { body } = await call('/uploads', {});
    await send('PUT', body.url, { body: png });
    await service.sweep();
    const id = body.upload_id as string;
    assert.ok((await kept()).files.includes(id));

    const age = (interval: string) =>
      database.orm
        .update(uploadsTable)
        .set({
          createdAt: sql`now() - ${interval}::interval`,
          openUntil: sql`now() - interval '1 s'`,
        })
        .where(eq(uploadsTable.id, id));
    await age('23 hours');
    await service.sweep();
    assert.ok((await kept()).files.includes(id));
    await age('25 hours');
    await service.sweep();
    const { rows, files } = await kept();
    assert.ok(!rows.includes(id) && !files.includes(id));
  });

  it('may be results of other tasks, which are read straight from the store', async () => {
    const first = await completed(
      await sendForm([
        ['type', 'image'],
        ['outscale', '2'],
        ['file', file()],
      ]),
    );
    // Nothing on loopback is allowed as a source, and the gateway is there.
    const url = first.output?.url as string;
    assert.equal(new URL(url).hostname, '127.0.0.1');
    const again = await completed(await call('/tasks', { url, type: 'image', outscale: 2 }));
    assert.equal(again.output?.metadata.width, 96);
    const gone = await taskOf(await call('/tasks', { url: `${url}x`, type: 'image' }));
    assert.equal(gone.error_code, 'source_not_found');
    for (const elsewhere of [
      url.replace('/objects/', '/tasks/'),
      url.replace('/objects/', '/objects/../'),
      'oss://bucket/a.png',
    ]) {
      const answer = await call('/tasks', { url: elsewhere, type: 'image' });
      await assertRefused(answer, 'source_refused', 'url');
    }
  });
});
