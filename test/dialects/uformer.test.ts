import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import sharp from 'sharp';
import type { PictureKind } from '../../src/core/media.ts';
import type { Database } from '../../src/db/connect.ts';
import { sql } from '../../src/db/drizzle.ts';
import { rowsOf } from '../../src/db/rows.ts';
import { Emulator } from '../../src/emulator/emulator.ts';
import { describeDialect, formOf } from '../suites/dialect.suite.ts';
import { eventually } from '../support/eventually.ts';
import { assertGolden, type Varying } from '../support/golden.ts';
import { freeBox, sampleJpeg, sampleMp4, samplePng } from '../support/media-samples.ts';
import { patienceMs } from '../support/patience.ts';
import { completes, Scene, Supplies } from '../support/pool-scene.ts';
import {
  connectTestDatabase,
  createTestDatabase,
  type TestDatabase,
} from '../support/test-database.ts';
import { TestGateway } from '../support/test-gateway.ts';
import { createTestWorkflows, type TestWorkflows } from '../support/test-workflows.ts';

const wishes = { task_type: 'denoise', model_name: 'denoise_16' };
const noId = 'f692edeb-41cb-4a3e-aebd-2db0044c0778';

describeDialect({
  name: 'uformer',
  prefix: '/uformer',
  submit: (caller, { bytes, name }) =>
    caller.send('POST', '/api/process_image', {
      form: formOf({ image_file: { bytes, name }, ...wishes, use_patch_processing: 'true' }),
    }),
  acceptedStatus: 202,
  idOf: ({ body }) => body.task_id,
  status: (caller, id) => caller.send('GET', `/api/image_status/${encodeURIComponent(id)}`),
  phasesOf: ({ body }) =>
    ({
      pending: ['waiting' as const],
      processing: ['running' as const],
      completed: ['completed' as const],
      failed: ['failed' as const, 'canceled' as const],
    })[body.status as string] ?? [],
  cancel: null,
  result: async (caller, { body }) => (await caller.send('GET', body.result_path)).bytes,
  scale: 1,
  refused: {
    'a form without a file': {
      send: (caller) => caller.send('POST', '/api/process_image', { form: formOf(wishes) }),
      says: 'image_file',
    },
    'what is no form': {
      send: (caller) => caller.send('POST', '/api/process_image', { json: wishes }),
      says: 'multipart/form-data',
    },
    'a picture as a clip': {
      send: (caller, { bytes, name }) =>
        caller.send('POST', '/api/process_video', {
          form: formOf({ video_file: { bytes, name }, ...wishes }),
        }),
      says: 'video_file: must be a video',
    },
  },
  oddIds: [noId, '0', '%00', '../health', 'ä'.repeat(2_000)],
  errorOf({ body }) {
    assert.deepEqual(Object.keys(body), ['detail']);
    return body.detail;
  },
});

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly bytes: Buffer;
  // biome-ignore lint/suspicious/noExplicitAny: read by tests as JSON is.
  readonly body: any;
}

interface Ask {
  readonly json?: unknown;
  readonly form?: FormData;
  readonly key?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

type FormFields = Parameters<typeof formOf>[0];

/** Of a result's path, what no test can know before. */
const pathVaries: Varying = { texts: [[/\d{10}_[0-9a-f]{8}_/, '<time>_<id>_']] };
const minuteMs = 60_000;

async function send(
  base: string,
  method: string,
  path: string,
  { json, form, key, headers }: Ask = {},
): Promise<Answer> {
  const response = await fetch(`${base}${path}`, {
    method,
    body: form ?? (json === undefined ? null : JSON.stringify(json)),
    signal: AbortSignal.timeout(patienceMs),
    headers: {
      // Both ends are this process: while it is busy with a large file, an idle connection dies of age.
      connection: 'close',
      ...(json === undefined ? {} : { 'content-type': 'application/json' }),
      ...(key === undefined ? {} : { 'x-api-key': key }),
      ...headers,
    },
  });
  const bytes = Buffer.from(await response.arrayBuffer());
  const isJson = response.headers.get('content-type')?.includes('json') && bytes.length > 0;
  return {
    status: response.status,
    headers: response.headers,
    bytes,
    body: isJson ? JSON.parse(bytes.toString()) : null,
  };
}

/** What is told of a task at its end. */
async function ended(
  base: string,
  kind: PictureKind,
  started: Answer,
  key?: string,
): Promise<Answer> {
  assert.equal(started.status, 202, started.bytes.toString());
  const ask = key === undefined ? {} : { key };
  return await eventually(async () => {
    const path = `/api/${kind}_status/${started.body.task_id}`;
    const status = await send(base, 'GET', path, ask);
    assert.equal(status.status, 200, status.bytes.toString());
    assert.match(status.body.status, /^(completed|failed)$/);
    return status;
  });
}

/** A result that is there. */
interface Result {
  readonly id: string;
  readonly path: string;
}

describe('the Uformer hub', () => {
  const cleanup = new AsyncDisposableStack();
  let emulator: Emulator;
  let workflows: TestWorkflows;
  let testDatabase: TestDatabase;
  let database: Database;
  let gateway: TestGateway;
  let jpg: Buffer;
  let mp4: Buffer;

  before(async () => {
    emulator = cleanup.use(await Emulator.start());
    workflows = cleanup.use(await createTestWorkflows());
    testDatabase = cleanup.use(await createTestDatabase('postgres'));
    gateway = cleanup.use(
      await TestGateway.start({
        engine: 'postgres',
        database: testDatabase,
        backends: [emulator.url],
        env: {
          WORKFLOWS_DIR: workflows.folder,
          DIALECT_PORTS: 'uformer:0',
          CORS_ORIGINS: 'https://app.example.com',
        },
      }),
    );
    database = cleanup.use(await connectTestDatabase(testDatabase.options));
    jpg = await sampleJpeg({ width: 40, height: 31, seed: 1 });
    mp4 = await sampleMp4({ width: 32, height: 24, frames: 4, fps: 8, seed: 1, audio: true });
  });
  after(() => cleanup.disposeAsync());

  const get = (path: string, ask: Ask = {}, base = gateway.url) => send(base, 'GET', path, ask);
  const post = (path: string, json: unknown) => send(gateway.url, 'POST', path, { json });
  const process = (kind: PictureKind, fields: FormFields) =>
    send(gateway.url, 'POST', `/api/process_${kind}`, { form: formOf(fields) });

  async function completed(
    kind: PictureKind = 'image',
    name = kind === 'image' ? 'photo.jpg' : 'clip.mp4',
  ): Promise<Result> {
    const file = { bytes: kind === 'image' ? jpg : mp4, name };
    const started = await process(kind, { [`${kind}_file`]: file, ...wishes });
    const { body } = await ended(gateway.url, kind, started);
    assert.equal(body.status, 'completed', JSON.stringify(body));
    return { id: started.body.task_id, path: body.result_path };
  }

  /** How long the result stays from now on. */
  async function keptMinutes(id: string): Promise<number> {
    const result = await database.orm.execute(
      sql`select extract(epoch from keep_until - now())::float8 / 60 as minutes
            from tasks where id = ${id}`,
    );
    return rowsOf<{ minutes: number }>(result)[0]?.minutes ?? Number.NaN;
  }

  async function keepFor(id: string, ms: number): Promise<void> {
    await database.orm.execute(
      sql`update tasks set keep_until = now() + ${ms} * interval '1 ms' where id = ${id}`,
    );
  }

  function assertAbout(minutes: number, expected: number): void {
    assert.ok(Math.abs(minutes - expected) < 1, `${minutes} and not ${expected}`);
  }

  describe('works on a picture', () => {
    it('in the documented answers, and shows it as large as it was', async () => {
      emulator.faults.stall(true);
      const started = await process('image', {
        image_file: { bytes: jpg, name: 'enhanced_image.jpg' },
        ...wishes,
        use_patch_processing: 'true',
        of_no_meaning: 'x',
      });
      try {
        await assertGolden('uformer/process-image', started);
        const running = await eventually(async () => {
          const status = await get(`/api/image_status/${started.body.task_id}`);
          assert.equal(status.body.message, 'Processing...');
          return status;
        });
        assert.ok(running.body.progress >= 10 && running.body.progress < 100);
        await assertGolden('uformer/image-status-processing', running, { fields: ['progress'] });
        const next = await process('image', {
          image_file: { bytes: jpg, name: 'b.jpg' },
          ...wishes,
        });
        const last = await process('image', {
          image_file: { bytes: jpg, name: 'c.jpg' },
          ...wishes,
        });
        await assertGolden(
          'uformer/image-status-pending',
          await get(`/api/image_status/${last.body.task_id}`),
        );
        assert.equal(next.status, 202);
      } finally {
        emulator.faults.stall(false);
      }
      const status = await ended(gateway.url, 'image', started);
      await assertGolden('uformer/image-status-completed', status, pathVaries);

      const result = await get(status.body.result_path);
      assert.equal(result.headers.get('content-type'), 'image/jpeg');
      assert.match(result.headers.get('content-disposition') ?? '', /^inline/);
      const { width, height } = await sharp(result.bytes).metadata();
      assert.deepEqual([width, height], [40, 31]);
    });

    for (const [task_type, model_name] of [
      ['denoise', 'denoise_b'],
      ['deblur', 'DEBLUR_B'],
    ] as const) {
      it(`with ${model_name}`, async () => {
        const file = { bytes: jpg, name: 'a.jpg' };
        const started = await process('image', { image_file: file, task_type, model_name });
        const { body } = await ended(gateway.url, 'image', started);
        assert.match(
          body.result_path,
          new RegExp(`^/static_results/images/${task_type}/processed/`),
        );
      });
    }

    it('and tells what is wrong with it', async () => {
      const damaged = { bytes: jpg.subarray(0, jpg.length - 300), name: 'a.jpg' };
      const started = await process('image', { image_file: damaged, ...wishes });
      await assertGolden('uformer/image-status-failed', await ended(gateway.url, 'image', started));
    });
  });

  it('works on a clip, and shows it as large as it was', async () => {
    const file = { bytes: mp4, name: 'holiday.mp4' };
    const started = await process('video', {
      video_file: file,
      task_type: 'deblur',
      model_name: 'deblur_b',
    });
    await assertGolden('uformer/process-video', started);
    const status = await ended(gateway.url, 'video', started);
    await assertGolden('uformer/video-status-completed', status, pathVaries);
    const result = await get(status.body.result_path);
    assert.equal(result.headers.get('content-type'), 'video/mp4');
    assert.equal(result.bytes.subarray(4, 8).toString(), 'ftyp');
  });

  it('takes a large file', async () => {
    const bytes = Buffer.concat([mp4, freeBox(64 * 1024 ** 2), Buffer.alloc(64 * 1024 ** 2)]);
    const { body } = await ended(
      gateway.url,
      'video',
      await process('video', { video_file: { bytes, name: 'large.mp4' }, ...wishes }),
    );
    assert.equal(body.status, 'completed', JSON.stringify(body));
    await eventually(async () => assert.deepEqual(await gateway.spooled(), []));
  });

  it('tells of pictures and of clips at their own addresses only', async () => {
    const image = await completed('image');
    const unknown = await get(`/api/video_status/${image.id}`);
    await assertGolden('uformer/status-unknown', unknown);
    assert.equal(unknown.status, 404);
    assert.equal((await get(`/api/image_status/${image.id.toUpperCase()}`)).status, 200);
    assert.equal((await get(`/api/image_status/${noId}`)).status, 404);
  });

  describe('refuses', () => {
    const image = () => ({ bytes: jpg, name: 'a.jpg' });
    const cases: [what: string, fields: () => FormFields, detail: RegExp][] = [
      [
        'another task',
        () => ({ image_file: image(), ...wishes, task_type: 'derain' }),
        /^task_type: .*denoise or deblur/,
      ],
      [
        'an unknown model',
        () => ({ image_file: image(), ...wishes, model_name: 'denoise_32' }),
        /^model_name: .*known: denoise_b, denoise_16$/,
      ],
      [
        'a model of another task',
        () => ({ image_file: image(), ...wishes, task_type: 'deblur' }),
        /^model_name: .*known: deblur_b$/,
      ],
      [
        'a model that is for something else',
        () => ({ image_file: image(), ...wishes, model_name: 'realesrgan-x2plus' }),
        /^model_name: /,
      ],
      [
        'a choice that is none',
        () => ({ image_file: image(), ...wishes, use_patch_processing: 'maybe' }),
        /^use_patch_processing: must be true or false/,
      ],
      [
        'a text as the file',
        () => ({ image_file: 'a.jpg', ...wishes }),
        /^image_file: must be a file/,
      ],
      ['no file', () => wishes, /^image_file: is missing/],
      ['two files', () => ({ image_file: image(), second: image(), ...wishes }), /^second: /],
      ['the file by another name', () => ({ file: image(), ...wishes }), /^file: .*image_file/],
      [
        'an empty file',
        () => ({ image_file: { bytes: Buffer.alloc(0), name: 'a.jpg' }, ...wishes }),
        /empty/,
      ],
      [
        'a file that is no picture',
        () => ({ image_file: { bytes: Buffer.from('x'.repeat(9_000)), name: 'a.jpg' }, ...wishes }),
        /none of the known types/,
      ],
      [
        'a clip',
        () => ({ image_file: { bytes: mp4, name: 'a.jpg' }, ...wishes }),
        /^image_file: must be an image/,
      ],
    ];
    for (const [what, fields, detail] of cases) {
      it(what, async () => {
        const answer = await process('image', fields());
        assert.equal(answer.status, 400, answer.bytes.toString());
        assert.deepEqual(Object.keys(answer.body), ['detail']);
        assert.match(answer.body.detail, detail);
        await eventually(async () => assert.deepEqual(await gateway.spooled(), []));
      });
    }

    for (const choice of ['true', 'False', '1', '0', 'on', 'off', '']) {
      it(`nothing where use_patch_processing is ${JSON.stringify(choice)}`, async () => {
        const fields = { image_file: image(), ...wishes, use_patch_processing: choice };
        assert.equal((await process('image', fields)).status, 202);
      });
    }

    it('a form that ends before its end', async () => {
      const headers = { 'content-type': 'multipart/form-data; boundary=x' };
      const body = '--x\r\ncontent-disposition: form-data; name="task_type"\r\n\r\nden';
      const response = await fetch(`${gateway.url}/api/process_image`, {
        method: 'POST',
        headers,
        body,
      });
      assert.equal(response.status, 400);
      assert.match(((await response.json()) as { detail: string }).detail, /form is broken/);
    });
  });

  describe('gives out a result', () => {
    it('whole, in part, and not again to whoever has it', async () => {
      const { path } = await completed();
      const whole = await get(path);
      const part = await get(path, { headers: { range: 'bytes=1-3' } });
      assert.equal(part.status, 206);
      assert.deepEqual(part.bytes, whole.bytes.subarray(1, 4));
      const etag = whole.headers.get('etag') ?? '';
      assert.equal((await get(path, { headers: { 'if-none-match': etag } })).status, 304);
      assert.equal((await get(path, { headers: { range: 'bytes=9999999-' } })).status, 416);
      const head = await send(gateway.url, 'HEAD', path);
      assert.equal(head.headers.get('content-length'), String(whole.bytes.length));
      assert.equal(head.bytes.length, 0);
    });

    it('at the root, under the prefix and at its own port, to web pages of other origins', async () => {
      const { path } = await completed();
      const headers = { origin: 'https://app.example.com' };
      for (const base of [
        gateway.url,
        `${gateway.url}/uformer`,
        gateway.dialectUrls.get('uformer') as string,
      ]) {
        const answer = await get(path, { headers }, base);
        assert.equal(answer.status, 200, base);
        assert.equal(answer.headers.get('access-control-allow-origin'), headers.origin);
      }
    });

    it('under the name that the client gave its file, made fit for an address', async () => {
      const { path } = await completed('image', '../我的 照片?#.final.jpg');
      assert.match(decodeURI(path), /_我的_照片_\.final\.jpg$/);
      assert.match(path, /^[\x21-\x7e]+$/);
      assert.equal((await get(path)).status, 200);
      const { headers } = await get(path);
      assert.match(headers.get('content-disposition') ?? '', /%E6%88%91/);
    });

    it('under its whole path only', async () => {
      const { id, path } = await completed();
      const others = [
        path.replace('/images/', '/videos/'),
        path.replace('/denoise/', '/deblur/'),
        path.replace(/\d{10}/, '1678886400'),
        path.replace(id.slice(0, 8), noId.slice(0, 8)),
        path.replace('photo', 'other'),
        path.replace('.jpg', '.png'),
        path.replace('.jpg', '.jpg%3Fx'),
        path.replace('_photo', '_%2Fphoto'),
        path.replace('photo', '%00'),
        path.replace('photo', '%zz'),
        path.replace('photo', 'a'.repeat(5_000)),
        `${path}?id=${noId}`,
        `${path}?id=`,
        `${path}/more`,
      ];
      for (const other of others) {
        const answer = await get(other);
        assert.equal(answer.status, 404, other);
      }
      await assertGolden('uformer/result-unknown', await get(others[4] as string));
      assert.equal((await get(`${path}?id=${id}`)).status, 200);
    });
  });

  describe('keeps a result', () => {
    it('for a while after its task has ended, and asks the database for no more at every sign', async () => {
      const { id } = await completed();
      const kept = await keptMinutes(id);
      assertAbout(kept, 15);
      await keepFor(id, 12 * minuteMs);
      await get(`/api/image_status/${id}`);
      await post('/api/task_heartbeat', { task_id: id });
      assertAbout(await keptMinutes(id), 12);
    });

    const signs: [what: string, give: (result: Result) => Promise<Answer>][] = [
      ['asks for its status', ({ id }) => get(`/api/image_status/${id}`)],
      ['sends a heartbeat', ({ id }) => post('/api/task_heartbeat', { task_id: id })],
      ['looks at it', ({ path }) => get(path)],
      ['looks at a part of it', ({ path }) => get(path, { headers: { range: 'bytes=0-0' } })],
    ];
    for (const [what, give] of signs) {
      it(`ten minutes from when its client ${what}`, async () => {
        const result = await completed();
        await keepFor(result.id, 9 * minuteMs);
        assert.ok((await give(result)).status < 300);
        assertAbout(await keptMinutes(result.id), 15);
      });
    }

    it('no longer, and then says that there is none', async () => {
      const { id, path } = await completed();
      await keepFor(id, -1);
      assert.equal((await get(`/api/image_status/${id}`)).status, 404);
      assert.equal((await get(path)).status, 404);
      assert.equal((await post('/api/confirm_download', { result_path: path })).status, 404);
      const heartbeat = await post('/api/task_heartbeat', { task_id: id });
      await assertGolden('uformer/task-heartbeat-unknown', heartbeat);
      const odd = await post('/api/task_heartbeat', { task_id: 'ä'.repeat(5_000) });
      assert.deepEqual(odd.body, heartbeat.body);
      assert.ok((await keptMinutes(id)) < 0);
    });

    it('for as long as it takes to work on it', async () => {
      emulator.faults.stall(true);
      try {
        const started = await process('image', {
          image_file: { bytes: jpg, name: 'a' },
          ...wishes,
        });
        const heartbeat = await post('/api/task_heartbeat', { task_id: started.body.task_id });
        await assertGolden('uformer/task-heartbeat', heartbeat);
      } finally {
        emulator.faults.stall(false);
      }
    });

    for (const [kind, minutes] of [
      ['image', 60],
      ['video', 180],
    ] as const) {
      it(`for ${minutes} minutes more once its client has it: ${kind}`, async () => {
        const { id, path } = await completed(kind);
        const answer = await post('/api/confirm_download', { result_path: path });
        await assertGolden(`uformer/confirm-download-${kind}`, answer);
        assertAbout(await keptMinutes(id), minutes);
        // Later signs take nothing of it away.
        await post('/api/task_heartbeat', { task_id: id });
        assertAbout(await keptMinutes(id), minutes);
      });
    }

    it('that is confirmed by its whole address, too', async () => {
      const { path } = await completed();
      for (const result_path of [gateway.url + path, `/uformer${path}`, `${path}?x=1`]) {
        assert.equal((await post('/api/confirm_download', { result_path })).status, 200);
      }
    });

    for (const [path, json] of [
      ['/api/confirm_download', { result_path: '/static_results/images/a.png' }],
      ['/api/confirm_download', { result_path: '' }],
      ['/api/confirm_download', { result_path: '/static_results/%zz/processed/1_aaaaaaaa_%00' }],
    ] as const) {
      it(`and knows none by ${JSON.stringify(json.result_path)}`, async () => {
        const answer = await post(path, json);
        await assertGolden('uformer/confirm-download-unknown', answer);
      });
    }

    for (const json of [{}, { task_id: 7 }, [], 'x']) {
      it(`and understands no heartbeat such as ${JSON.stringify(json)}`, async () => {
        const answer = await post('/api/task_heartbeat', json);
        assert.equal(answer.status, 400);
        assert.equal(typeof answer.body.detail, 'string');
      });
    }
  });

  it('tells which models are loaded, and unloads those that nobody needs', async () => {
    await completed();
    const before = emulator.freed;
    const loaded = await get('/api/loaded_models_status');
    await assertGolden('uformer/loaded-models-status', loaded);
    const names = ['denoise_16', 'deblur_b', 'nothing'];

    emulator.faults.stall(true);
    const started = await process('image', {
      image_file: { bytes: jpg, name: 'a.jpg' },
      ...wishes,
    });
    await eventually(async () => {
      const { body } = await get(`/api/image_status/${started.body.task_id}`);
      assert.equal(body.message, 'Processing...');
    });
    const busy = await post('/api/unload_models', { model_names: names });
    assert.deepEqual(busy.body, { unloaded_models: [], skipped_models: names });
    assert.equal(emulator.freed, before);
    emulator.faults.stall(false);
    await ended(gateway.url, 'image', started);

    const idle = await eventually(async () => {
      const answer = await post('/api/unload_models', { model_names: names });
      assert.equal(answer.body.unloaded_models.length, 1);
      return answer;
    });
    await assertGolden('uformer/unload-models', idle);
    assert.equal(emulator.freed, before + 1);
    const { body } = await get('/api/loaded_models_status');
    assert.ok(body.models.every((model: { loaded: boolean }) => !model.loaded));
    const none = await post('/api/unload_models', { model_names: [] });
    assert.deepEqual(none.body, { unloaded_models: [], skipped_models: [] });
  });

  it('loads models when they are needed, and says that it runs', async () => {
    await assertGolden('uformer/model-loading-strategy', await get('/api/model_loading_strategy'));
    for (const base of [`${gateway.url}/uformer`, gateway.dialectUrls.get('uformer') as string]) {
      await assertGolden('uformer/health', await get('/health', {}, base));
    }
  });

  describe('shows before any task', () => {
    const preview = (bytes: Buffer, name = 'a.tiff') =>
      send(gateway.url, 'POST', '/api/generate_preview', {
        form: formOf({ image_file: { bytes, name } }),
      });

    const uploadIds = async () =>
      rowsOf<{ id: string }>(await database.orm.execute(sql`select id from uploads`)).map(
        ({ id }) => id,
      );

    it('what a browser cannot, upright, and keeps nothing of it', async () => {
      const lying = await sharp(await samplePng({ width: 60, height: 40 }))
        .withMetadata({ orientation: 6 })
        .tiff()
        .toBuffer();
      const known = await uploadIds();
      const { status, headers, bytes } = await preview(lying);
      assert.equal(status, 200);
      assert.equal(headers.get('content-type'), 'image/webp');
      const { format, width, height } = await sharp(bytes).metadata();
      assert.deepEqual([format, width, height], ['webp', 40, 60]);
      await eventually(async () => assert.deepEqual(await gateway.spooled(), []));
      const isNew = (id: string) => !known.includes(id);
      assert.deepEqual((await uploadIds()).filter(isNew), []);
    });

    it('nothing of what is damaged, or is no picture', async () => {
      const damaged = await preview(jpg.subarray(0, jpg.length - 300));
      await assertGolden('uformer/generate-preview-damaged', damaged);
      for (const bytes of [mp4, Buffer.from('no picture'), Buffer.alloc(0)]) {
        const answer = await preview(bytes);
        assert.equal(answer.status, 400, answer.bytes.toString());
        assert.equal(typeof answer.body.detail, 'string');
      }
      await eventually(async () => assert.deepEqual(await gateway.spooled(), []));
    });
  });
});

describe('the Uformer hub with keys', () => {
  const cleanup = new AsyncDisposableStack();
  const keys = {
    alice: 'alice-secret-0123456789',
    bob: 'bob-secret-0123456789',
    carol: 'carol-secret-0123456789',
    ops: 'ops-secret-0123456789',
  };
  type Name = keyof typeof keys;
  let emulator: Emulator;
  let gateway: TestGateway;
  let files: Record<PictureKind, Buffer>;

  before(async () => {
    emulator = cleanup.use(await Emulator.start());
    const { ops, ...clients } = keys;
    gateway = cleanup.use(
      await TestGateway.start({
        engine: 'pglite',
        backends: [emulator.url],
        env: {
          API_KEYS: Object.entries(clients)
            .map(([name, key]) => `${name}:${key}`)
            .join(','),
          OPERATOR_KEYS: `ops:${ops}`,
        },
      }),
    );
    files = {
      image: await sampleJpeg({ width: 24, height: 16, seed: 1 }),
      video: await sampleMp4({ width: 32, height: 24, frames: 3, fps: 8, seed: 1 }),
    };
  });
  after(() => cleanup.disposeAsync());

  const ask = (who: Name | null, method: string, path: string, more: Omit<Ask, 'key'> = {}) =>
    send(gateway.url, method, path, { ...more, ...(who ? { key: keys[who] } : {}) });

  async function submitted(who: Name, kind: PictureKind): Promise<Answer> {
    const file = { bytes: files[kind], name: 'a' };
    const form = formOf({ [`${kind}_file`]: file, ...wishes });
    return await ask(who, 'POST', `/api/process_${kind}`, { form });
  }

  async function completed(who: Name, kind: PictureKind = 'image'): Promise<Result> {
    const started = await submitted(who, kind);
    const { body } = await ended(gateway.url, kind, started, keys[who]);
    assert.equal(body.status, 'completed', JSON.stringify(body));
    return { id: started.body.task_id, path: body.result_path };
  }

  async function confirmed(who: Name, { path: result_path }: Result): Promise<Answer> {
    return await ask(who, 'POST', '/api/confirm_download', { json: { result_path } });
  }

  it('gives results an address that opens without one, to whoever was told the whole of it', async () => {
    const result = await completed('alice');
    const { id, path } = result;
    assert.match(path, /\?id=[0-9a-f]{32}$/);
    assert.equal((await ask(null, 'GET', path)).status, 200);
    const [bare] = path.split('?') as [string];
    assert.equal((await ask(null, 'GET', bare)).status, 401);
    assert.equal((await ask('bob', 'GET', bare)).status, 404);
    assert.equal((await ask('alice', 'GET', bare)).status, 200);
    assert.equal((await ask('ops', 'GET', bare)).status, 200);
    for (const guess of ['', id.slice(0, 8), id, noId]) {
      assert.equal((await ask(null, 'GET', `${bare}?id=${guess}`)).status, 404);
    }
    assert.equal((await confirmed('alice', result)).status, 200);
  });

  it("keeps a key's results from others", async () => {
    const result = await completed('alice');
    const { id, path } = result;
    assert.equal((await ask('bob', 'GET', `/api/image_status/${id}`)).status, 404);
    const heartbeat = { json: { task_id: id } };
    const { body } = await ask('bob', 'POST', '/api/task_heartbeat', heartbeat);
    assert.equal(body.status, 'task_not_found_ok');
    assert.equal((await confirmed('bob', result)).status, 404);
    await confirmed('alice', result);
    assert.equal((await ask('bob', 'POST', '/api/clear_cache')).body.cleared_count, 0);
    assert.equal((await ask('bob', 'GET', '/api/cache_status')).body.image_cache_mb, 0);
    assert.equal((await ask(null, 'GET', path)).status, 200);
    assert.ok((await ask('alice', 'POST', '/api/clear_cache')).body.cleared_count > 0);
    assert.equal((await ask(null, 'GET', path)).status, 404);
  });

  it('clears of its cache what was downloaded, and leaves what is under way or waits to be', async () => {
    const [image, waiting, video] = [
      await completed('carol'),
      await completed('carol'),
      await completed('carol', 'video'),
    ];
    for (const result of [image, video]) await confirmed('carol', result);
    const usage = await ask('carol', 'GET', '/api/cache_status');
    await assertGolden('uformer/cache-status', usage, {
      fields: ['image_cache_mb', 'video_cache_mb'],
    });
    const clear = (query: string) => ask('carol', 'POST', `/api/clear_cache${query}`);
    const statusOf = async ({ path }: Result) => (await ask(null, 'GET', path)).status;
    emulator.faults.stall(true);
    try {
      await submitted('carol', 'image');
      const none = await clear('?clear_images=false&clear_videos=0');
      assert.deepEqual(Object.values(none.body), [0, 0, 0]);
      await assertGolden('uformer/clear-cache', await clear('?clear_images=true&clear_videos='));
      assert.deepEqual(await Promise.all([image, waiting, video].map(statusOf)), [404, 200, 200]);
      assert.equal((await ask('carol', 'GET', `/api/image_status/${image.id}`)).status, 404);
      assert.equal((await clear('')).body.cleared_count, 1);
      assert.equal(await statusOf(video), 404);
    } finally {
      emulator.faults.stall(false);
    }
    const unclear = await clear('?clear_images=perhaps');
    assert.equal(unclear.status, 400);
    assert.match(unclear.body.detail, /^clear_images: must be true or false/);
  });

  it('leaves it to operators to unload models, and to everybody to ask whether it runs', async () => {
    const json = { model_names: ['denoise_16'] };
    const forbidden = await ask('alice', 'POST', '/api/unload_models', { json });
    await assertGolden('uformer/unload-models-forbidden', forbidden);
    assert.equal((await ask('ops', 'POST', '/api/unload_models', { json })).status, 200);
    assert.equal((await ask(null, 'GET', '/uformer/health')).status, 200);
    await assertGolden('uformer/without-key', await ask(null, 'GET', '/api/cache_status'));
  });
});

it("unloads models from the servers of its own gateway, and knows of those that another one's hold", async () => {
  await using supplies = await Supplies.open();
  await using scene = new Scene(supplies);
  const testDatabase = scene.use(await createTestDatabase('postgres'));
  const emulators = [await scene.emulator(), await scene.emulator()];
  const first = await scene.gateway(emulators, { database: testDatabase });
  const second = await scene.gateway(emulators, { database: testDatabase });
  await eventually(async () => {
    assert.equal(new Set((await first.drivers()).values()).size, 2);
  });
  for (const emulator of emulators) emulator.faults.stall(true);
  const task = { url: supplies.url, workflow: 'denoise_image_16' };
  // Each backend has room for one that runs and one that is next.
  const ids: string[] = [];
  for (let i = 0; i < 4; i += 1) ids.push(await first.submit(task));
  await eventually(() =>
    assert.deepEqual(
      emulators.map(({ runs }) => runs.length),
      [1, 1],
    ),
  );
  for (const emulator of emulators) emulator.faults.stall(false);
  for (const id of ids) await completes(first, id);

  const json = { model_names: ['denoise_16'] };
  const unload = (gateway: TestGateway) =>
    send(gateway.url, 'POST', '/api/unload_models', { json });
  // What one gateway's backends hold, the other hears a moment later.
  await eventually(async () => {
    assert.deepEqual((await unload(first)).body.skipped_models, ['denoise_16']);
  });
  assert.deepEqual(emulators.map(({ freed }) => freed).sort(), [0, 1]);
  await unload(second);
  assert.deepEqual(
    emulators.map(({ freed }) => freed),
    [1, 1],
  );
  await eventually(async () => {
    const { body } = await send(first.url, 'GET', '/api/loaded_models_status');
    assert.ok(body.models.every((model: { loaded: boolean }) => !model.loaded));
  });
});
