import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import sharp from 'sharp';
import { Emulator } from '../src/emulator/emulator.ts';
import { eventually } from './support/eventually.ts';
import { sampleJpeg, sampleMp4, samplePng } from './support/media-samples.ts';
import { patienceMs } from './support/patience.ts';
import { SourceServer } from './support/source-server.ts';
import { TestGateway } from './support/test-gateway.ts';

interface Ask {
  readonly key?: string;
  readonly body?: NonNullable<RequestInit['body']>;
  readonly headers?: Readonly<Record<string, string>>;
}

const keys = { alice: 'alice-secret-0123456789', ops: 'ops-secret-0123456789' };

/** What clients do that were written for the services before, and have no reason to change. */
describe('a client of an old service', () => {
  const cleanup = new AsyncDisposableStack();
  let emulator: Emulator;
  let sources: SourceServer;
  let gateway: TestGateway;
  let png: Buffer;

  before(async () => {
    emulator = cleanup.use(await Emulator.start());
    sources = cleanup.use(await SourceServer.start());
    gateway = cleanup.use(
      await TestGateway.start({
        engine: 'postgres',
        backends: [emulator.url],
        env: {
          SOURCE_ALLOW: sources.host,
          API_KEYS: `alice:${keys.alice}`,
          OPERATOR_KEYS: `ops:${keys.ops}`,
        },
      }),
    );
    png = await samplePng({ width: 16, height: 12, seed: 1 });
  });
  after(() => cleanup.disposeAsync());

  async function ask(method: string, path: string, { key = keys.alice, ...init }: Ask = {}) {
    const response = await fetch(gateway.url + path, {
      method,
      ...init,
      signal: AbortSignal.timeout(patienceMs),
      headers: { 'x-auth-token': key, ...init.headers },
    });
    const text = await response.text();
    const isJson = response.headers.get('content-type')?.includes('json');
    return { response, status: response.status, body: isJson ? JSON.parse(text) : text };
  }

  /** As `curl -d @file` without a header, and many a script: a body of no type. */
  const untyped = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
  const asJson = (value: unknown) => ({
    body: JSON.stringify(value),
    headers: { 'content-type': 'application/json' },
  });
  const fileOf = (bytes: Buffer) => new Blob([new Uint8Array(bytes)]);

  describe('finds an address with a slash at its end', () => {
    const addresses = [
      ...['/health', '/tmlsr/health', '/dashboard', '/task-manager/dashboard', '/docs'],
      ...['/monitor/stats', '/api/v1/docs', '/uformer/docs', '/api/v1/models'],
    ];
    for (const address of addresses) {
      it(address, async () => {
        const { status, response } = await ask('GET', `${address}/?x=1`);
        assert.equal(status, 200);
        assert.equal(response.url, `${gateway.url}${address}?x=1`);
      });
    }

    it('and is answered there where it sends a body', async () => {
      const { status, response, body } = await ask('POST', '/tasks/', asJson({ url: 'nonsense' }));
      assert.deepEqual([status, body.code], [400, 'source_invalid']);
      assert.equal(response.redirected, false);
    });
  });

  describe('sends JSON without saying so', () => {
    for (const [path, field] of [
      ['/tasks', 'url'],
      ['/api/v1/tasks', 'task_name'],
      ['/api/confirm_download', 'result_path'],
    ] as const) {
      it(`to ${path}`, async () => {
        const { status, body } = await ask('POST', path, { body: untyped({ [field]: 7 }) });
        assert.equal(status, 400);
        assert.match(JSON.stringify(body), new RegExp(`${field}: must be`));
      });
    }

    it('and hears which type is taken where it names another', async () => {
      const type = { 'content-type': 'application/x-www-form-urlencoded' };
      const answer = await ask('POST', '/tasks', { body: '{"url":"x"}', headers: type });
      assert.deepEqual([answer.status, answer.body.code], [415, 'content_type_unsupported']);
      assert.match(answer.body.message, /x-www-form-urlencoded .* application\/json/);
      assert.equal(answer.body.detail, answer.body.message);
      const plain = { body: 'x', headers: { 'content-type': 'text/plain' } };
      const upscale = await ask('POST', '/api/v1/upscale', plain);
      assert.deepEqual([upscale.status, upscale.body.success], [415, false]);
    });

    it('and hears that it is none', async () => {
      const { status, body } = await ask('POST', '/tasks', {
        body: new TextEncoder().encode('{"url"'),
      });
      assert.deepEqual([status, body.message], [400, 'The body is not JSON']);
    });
  });

  describe('sends a form', () => {
    async function send(path: string, parts: readonly (readonly [string, string | Blob])[]) {
      const form = new FormData();
      for (const [name, value] of parts) form.append(name, value);
      return await ask('POST', path, { body: form });
    }

    it('with a field that is a list, as generated clients write it', async () => {
      const dims = [
        ['output_dims', '40'],
        ['output_dims', '20'],
      ] as const;
      const { status, body } = await send('/tasks', [['file', fileOf(png)], ...dims]);
      assert.equal(status, 200, JSON.stringify(body));
      const task = await ask('GET', `/tasks/${body.task_id}`);
      assert.deepEqual(task.body.params.output_dims, [40, 20]);
    });

    for (const [path, part] of [
      ['/tasks', 'file'],
      ['/api/v1/upscale', 'image'],
      ['/api/process_image', 'image_file'],
    ] as const) {
      it(`to ${path} with an unknown field twice`, async () => {
        const unknown = ['session', 'x'] as const;
        const { status } = await send(path, [[part, fileOf(png)], unknown, unknown]);
        assert.ok(status < 300, `${status}`);
      });
    }

    for (const [path, part, field, value] of [
      ['/tasks', 'file', 'outscale', '2'],
      ['/api/v1/upscale', 'image', 'scale', '2'],
      ['/api/process_image', 'image_file', 'task_type', 'denoise'],
    ] as const) {
      it(`to ${path} with ${field} twice, and hears of it`, async () => {
        const twice = [field, value] as const;
        const { status, body } = await send(path, [[part, fileOf(png)], twice, twice]);
        assert.equal(status, 400);
        assert.match(JSON.stringify(body), new RegExp(`${field}: is there twice`));
      });
    }
  });

  it('hears of what it wrote in vain', async () => {
    const url = sources.file('ignored.png', png);
    const written = { url, outscal: 2, webhook: 'x', output_dims: [8, 8], output_magnification: 2 };
    const { body } = await ask('POST', '/tasks', asJson(written));
    assert.deepEqual(body.ignored, [
      { field: 'outscal', reason: 'is no field of this request; did you mean "outscale"?' },
      { field: 'webhook', reason: 'is no field of this request' },
      { field: 'output_magnification', reason: 'output_dims holds' },
    ]);
    const form = new FormData();
    form.append('file', fileOf(png));
    form.append('imag', 'x');
    const sent = await ask('POST', '/tasks', { body: form });
    assert.deepEqual(sent.body.ignored, [{ field: 'imag', reason: 'is no field of this request' }]);
    const upload = await ask('POST', '/uploads', asJson({ nam: 'a.png' }));
    assert.match(upload.body.ignored[0].reason, /did you mean "name"/);
    const typed = { url, type: 'image', resolution: null, target: null };
    assert.deepEqual((await ask('POST', '/tasks', asJson(typed))).body.ignored, []);
  });

  it('hears which workflow it may mean, and writes jpeg for jpg', async () => {
    const url = sources.file('meant.png', png);
    const { body } = await ask('POST', '/tasks', asJson({ url, workflow: 'esrgan_imag_4x' }));
    assert.match(body.message, /did you mean "esrgan_image_4x"/);
    const jpeg = await ask('POST', '/tasks', asJson({ url, format: 'jpeg' }));
    const task = await ask('GET', `/tasks/${jpeg.body.task_id}`);
    assert.equal(task.body.params.format, 'jpg');
  });

  it('is told a wrong key apart from none', async () => {
    const wrong = await ask('GET', '/monitor/stats', { key: 'wrong-secret-0123456789' });
    assert.equal(wrong.status, 401);
    assert.match(wrong.body.message, /^This gateway does not know the key/);
    assert.match(wrong.response.headers.get('www-authenticate') ?? '', /invalid_token/);
    const none = await fetch(`${gateway.url}/monitor/stats`);
    assert.match(await none.text(), /A key is needed/);
  });

  it('is not bound to HTTPS by the gateway', async () => {
    const { response } = await ask('GET', '/health');
    assert.equal(response.headers.get('strict-transport-security'), null);
  });

  describe('of TMLSR', () => {
    it('reads numbers and texts of stages that have not begun', async () => {
      emulator.faults.stall(true);
      try {
        const url = sources.file('stage.png', png);
        const { body } = await ask('POST', '/tasks', asJson({ url }));
        const { body: task } = await ask('GET', `/tasks/${body.task_id}`);
        const upload = task.stages[2];
        assert.deepEqual([upload.name, upload.duration, upload.detail], ['upload', 0, '']);
        await ask('DELETE', `/tasks/${body.task_id}`);
      } finally {
        emulator.faults.stall(false);
      }
    });

    it('tells pictures from clips by the parameters', async () => {
      const typeOf = async (name: string) => {
        const url = sources.file(name, png);
        const { body } = await ask('POST', '/tasks', asJson({ url }));
        const { body: task } = await ask('GET', `/tasks/${body.task_id}`);
        return task.params.type;
      };
      assert.equal(await typeOf('typeless.png'), 'image');
      assert.equal(await typeOf('typeless.mp4'), 'video');
    });

    it('sees its own tasks, and as an operator those of all services', async () => {
      const form = new FormData();
      form.append('image', fileOf(png));
      const { body } = await ask('POST', '/api/v1/upscale', { body: form });
      assert.ok(body.success);
      const seen = async (key: string) => {
        const { body } = await ask('GET', '/monitor/stats', { key });
        return body.tasks.filter(({ params }: { params: object }) => !('url' in params));
      };
      const [newest] = await seen(keys.ops);
      assert.deepEqual([newest.workflow, newest.params.type], ['esrgan_image_4x', 'image']);
      const path = `/tasks/${newest.task_id}`;
      assert.equal((await ask('GET', path, { key: keys.ops })).status, 200);
      assert.equal((await ask('GET', path)).status, 404);
      const own = await seen(keys.alice);
      assert.ok(own.every(({ task_id }: { task_id: string }) => task_id !== newest.task_id));
      const canceled = await ask('DELETE', path, { key: keys.ops });
      assert.ok([200, 409].includes(canceled.status));
    });

    describe('leaves it to the file what it is', () => {
      async function kindOf(name: string, bytes: Buffer, address = name): Promise<string> {
        const url = sources.file(name, bytes).replace(name, address);
        const { status, body } = await ask('POST', '/tasks', asJson({ url }));
        assert.equal(status, 200, JSON.stringify(body));
        const task = await ask('GET', `/tasks/${body.task_id}`);
        return task.body.workflow;
      }

      it('by its name', async () => {
        const image = 'esrgan_image_4x';
        assert.equal(await kindOf('kind.png', png), image);
        assert.equal(await kindOf('kind.JPEG', await sampleJpeg({ width: 8, height: 8 })), image);
        assert.equal(await kindOf('kind.gif', await sharp(png).gif().toBuffer()), image);
        assert.equal(await kindOf('kind.mp4', png), 'esrgan_video_2x');
      });

      it('by its first bytes', async () => {
        const clip = await sampleMp4({ width: 16, height: 16, frames: 2, fps: 8 });
        assert.equal(await kindOf('kind-a', png), 'esrgan_image_4x');
        assert.equal(await kindOf('kind-b', clip), 'esrgan_video_2x');
      });

      it('and is a video where nothing tells in time', async () => {
        const url = sources.answer('slow', () => {});
        const { status, body } = await ask('POST', '/tasks', asJson({ url }));
        assert.equal(status, 200);
        const task = await ask('GET', `/tasks/${body.task_id}`);
        assert.equal(task.body.workflow, 'esrgan_video_2x');
        await ask('DELETE', `/tasks/${body.task_id}`);
      });

      it('in a form', async () => {
        const form = new FormData();
        form.append('file', fileOf(png));
        const { body } = await ask('POST', '/tasks', { body: form });
        const task = await ask('GET', `/tasks/${body.task_id}`);
        assert.equal(task.body.workflow, 'esrgan_image_4x');
      });

      it('and hears that it named none', async () => {
        const { status, body } = await ask('POST', '/tasks', asJson({}));
        assert.deepEqual([status, body.field], [400, 'url']);
        assert.doesNotMatch(body.message, /workflow/);
      });
    });
  });

  describe('of the Uformer hub', () => {
    async function made(
      bytes: Buffer,
      name: string,
      model?: string,
    ): Promise<{ path: string; format: string }> {
      const form = new FormData();
      form.append('image_file', fileOf(bytes), name);
      if (model) form.append('model_name', model);
      const { status, body } = await ask('POST', '/api/process_image', { body: form });
      assert.equal(status, 202, JSON.stringify(body));
      const path = await eventually(async () => {
        const task = await ask('GET', `/api/image_status/${body.task_id}`);
        assert.equal(task.body.status, 'completed', JSON.stringify(task.body));
        return task.body.result_path as string;
      });
      const file = await fetch(gateway.url + path);
      const { format } = await sharp(await file.arrayBuffer()).metadata();
      return { path: path.replace(/\?.*/, ''), format };
    }

    it('names neither task nor model, and gets the format that it sent', async () => {
      const photo = await made(await sampleJpeg({ width: 16, height: 12 }), 'photo.jpg');
      assert.match(photo.path, /\/denoise\/processed\/.*_photo\.jpg$/);
      assert.equal(photo.format, 'jpeg');
      const webp = await made(await sharp(png).webp().toBuffer(), 'photo.webp');
      assert.deepEqual([webp.path.slice(-5), webp.format], ['.webp', 'webp']);
      const other = await made(await sharp(png).tiff().toBuffer(), 'photo.tif');
      assert.deepEqual([other.path.slice(-4), other.format], ['.png', 'png']);
    });

    it('names a model alone, and gets what that does', async () => {
      assert.match((await made(png, 'a.png', 'deblur_b')).path, /\/deblur\/processed\//);
    });

    it('unloads all models by naming none', async () => {
      await made(png, 'a.png');
      const loaded = async () => {
        const { body } = await ask('GET', '/api/loaded_models_status');
        return body.models.filter((each: { loaded: boolean }) => each.loaded);
      };
      assert.equal((await loaded()).length, 1);
      const path = '/api/unload_models';
      assert.equal((await ask('POST', path, asJson({}))).status, 403);
      const { body } = await ask('POST', path, { key: keys.ops, ...asJson({}) });
      assert.deepEqual(body, { unloaded_models: ['denoise_b'], skipped_models: [] });
      assert.deepEqual(await loaded(), []);
    });

    it('asks what there is to choose', async () => {
      const { body } = await ask('GET', '/api/available_controls');
      assert.deepEqual(body.image, { denoise: ['denoise_16', 'denoise_b'], deblur: ['deblur_b'] });
    });
  });

  describe('of the upscale service', () => {
    it('asks for the zero value of a scale', async () => {
      const form = new FormData();
      form.append('image', fileOf(png));
      form.append('scale', '0');
      assert.equal((await ask('POST', '/api/v1/upscale', { body: form })).status, 202);
    });

    it('asks for models of a scale that there is not', async () => {
      const names = async (scale: string) => {
        const { status, body } = await ask('GET', `/api/v1/models?scale=${scale}`);
        assert.equal(status, 200);
        return body.models.length as number;
      };
      assert.equal(await names('7'), 0);
      assert.equal(await names('nonsense'), await names(''));
    });

    it('hears in words that its job is canceled', async () => {
      emulator.faults.stall(true);
      try {
        const form = new FormData();
        form.append('image', fileOf(png));
        const { body } = await ask('POST', '/api/v1/upscale', { body: form });
        const { body: said } = await ask('POST', `/api/v1/cancel/${body.job_id}`);
        assert.deepEqual([said.success, said.message], [true, 'The job is canceled']);
      } finally {
        emulator.faults.stall(false);
      }
    });
  });
});
