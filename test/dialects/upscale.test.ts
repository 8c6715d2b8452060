import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import sharp from 'sharp';
import { Emulator } from '../../src/emulator/emulator.ts';
import { type Answer, type Caller, describeDialect, formOf } from '../suites/dialect.suite.ts';
import { eventually } from '../support/eventually.ts';
import { multipartForm } from '../support/form.ts';
import { assertGolden, type Varying } from '../support/golden.ts';
import { sampleJpeg, sampleMp4, samplePng } from '../support/media-samples.ts';
import { patienceMs } from '../support/patience.ts';
import { sampleWav } from '../support/sample-wav.ts';
import { TestGateway } from '../support/test-gateway.ts';
import { createTestWorkflows } from '../support/test-workflows.ts';

type Fields = Parameters<typeof formOf>[0];

const phases = {
  processing: ['waiting', 'running'],
  completed: ['completed'],
  failed: ['failed', 'canceled'],
} as const;

const upscale = (caller: Caller, fields: Fields): Promise<Answer> =>
  caller.send('POST', '/api/v1/upscale', { form: formOf(fields) });

describeDialect({
  name: 'upscale',
  prefix: '/upscale-service',
  submit: (caller, image) =>
    upscale(caller, { image, scale: '2', model_name: 'realesrgan-x2plus' }),
  acceptedStatus: 202,
  idOf: ({ body }) => body.job_id,
  status: (caller, id) => caller.send('GET', `/api/v1/status/${encodeURIComponent(id)}`),
  phasesOf: ({ body }) => phases[body.status as keyof typeof phases],
  cancel: (caller, id) => caller.send('POST', `/api/v1/cancel/${id}`),
  result: async (caller, { body }) => (await caller.send('GET', body.download_url)).bytes,
  scale: 2,
  refused: {
    'a form without an image': { send: (caller) => upscale(caller, { scale: '2' }), says: 'image' },
    'what is no form': {
      send: (caller) => caller.send('POST', '/api/v1/upscale', { json: { scale: 2 } }),
      says: 'multipart/form-data',
    },
    'an unknown model': {
      send: (caller, image) => upscale(caller, { image, model_name: 'nothing' }),
      says: 'model_name: .*realesrgan-x4plus',
    },
  },
  oddIds: ['0', '1769781953720134401', '9'.repeat(5_000), '%00', "1' or 1=1", 'ä'.repeat(500)],
  errorOf({ body }) {
    assert.equal(body.success, false);
    assert.match(body.code, /^[a-z_]+$/);
    return body.error;
  },
});

const side = 32;
const ids: Varying = { texts: [[/\d{19}/, '<job>']] };

describe('the Image Upscale Service', () => {
  const cleanup = new AsyncDisposableStack();
  let emulator: Emulator;
  let gateway: TestGateway;
  let png: Buffer;
  let jpg: Buffer;

  before(async () => {
    emulator = cleanup.use(
      await Emulator.start({ withoutModels: ['RealESRGAN_x4plus_anime_6B.pth'] }),
    );
    const workflows = cleanup.use(await createTestWorkflows());
    await workflows.write('tiled', {
      '1': { class_type: 'LoadImage', inputs: { image: 'input.png' } },
      '2': {
        class_type: 'ImageScale',
        inputs: {
          image: ['1', 0],
          upscale_method: 'lanczos',
          width: 64,
          height: 64,
          crop: 'disabled',
        },
      },
      '3': { class_type: 'SaveImage', inputs: { images: ['2', 0], filename_prefix: 'out' } },
    });
    await workflows.write('tiled.meta', {
      aliases: ['in-tiles'],
      scale: 2,
      parameters: { tile_size: { node: '2', field: 'width', schema: { maximum: 512 } } },
    });
    gateway = cleanup.use(
      await TestGateway.start({
        engine: 'postgres',
        backends: [emulator.url],
        env: { WORKFLOWS_DIR: workflows.folder, DIALECT_PORTS: 'upscale:0' },
      }),
    );
    png = await samplePng({ width: side, height: side, seed: 1 });
    jpg = await sampleJpeg({ width: side, height: 24, seed: 1 });
  });
  after(() => cleanup.disposeAsync());

  async function send(
    method: string,
    path: string,
    headers: Readonly<Record<string, string>> = {},
    body: FormData | null = null,
  ): Promise<Answer> {
    const signal = AbortSignal.timeout(patienceMs);
    const response = await fetch(`${gateway.url}/api/v1${path}`, { method, headers, body, signal });
    const bytes = Buffer.from(await response.arrayBuffer());
    const isJson = response.headers.get('content-type')?.includes('json') && bytes.length > 0;
    const parsed = isJson ? JSON.parse(bytes.toString()) : null;
    return { status: response.status, headers: response.headers, bytes, body: parsed };
  }

  const get = (path: string, headers = {}) => send('GET', path, headers);
  const submit = (fields: Fields) => send('POST', '/upscale', {}, formOf(fields));
  const image = (bytes = png, name = 'photo.png') => ({ bytes, name });

  async function accepted(fields: Fields): Promise<string> {
    const answer = await submit(fields);
    assert.equal(answer.status, 202, answer.bytes.toString());
    return answer.body.job_id;
  }

  async function ended(id: string): Promise<Answer> {
    return await eventually(async () => {
      const answer = await get(`/status/${id}`);
      assert.equal(answer.status, 200, answer.bytes.toString());
      assert.notEqual(answer.body.status, 'processing');
      return answer;
    });
  }

  async function completed(fields: Fields): Promise<string> {
    const id = await accepted(fields);
    const { body } = await ended(id);
    assert.equal(body.status, 'completed', body.error);
    return id;
  }

  async function nothingIsSpooled(): Promise<void> {
    await eventually(async () => assert.deepEqual(await gateway.spooled(), []), 10_000);
  }

  /** Results that the store has, thumbnails aside. */
  async function stored(): Promise<string[]> {
    const files = await readdir(join(gateway.dataDir, 'objects'), {
      recursive: true,
      withFileTypes: true,
    });
    return files.flatMap((file) => (file.isFile() && !/thumb/.test(file.name) ? file.name : []));
  }

  it('answers as documented from the submission to the download', async () => {
    emulator.faults.stall(true);
    const submitted = await submit({ image: image(jpg, 'photo.jpg'), scale: '4', format: 'png' });
    const id = submitted.body.job_id;
    try {
      await assertGolden('upscale/upscale', submitted, ids);
      assert.match(id, /^[1-9]\d{18}$/);
      const early = await get(`/download/${id}`);
      await assertGolden('upscale/download-processing', early, ids);
      await eventually(async () => {
        const { body } = await get(`/status/${id}`);
        assert.ok(body.progress >= 10 && body.progress < 100);
      });
      await assertGolden('upscale/status-processing', await get(`/status/${id}`), {
        ...ids,
        fields: ['progress'],
      });
    } finally {
      emulator.faults.stall(false);
    }
    const status = await ended(id);
    await assertGolden('upscale/status-completed', status, {
      ...ids,
      fields: ['duration_seconds', 'file_size_bytes'],
    });
    assert.ok(status.body.duration_seconds > 0);

    const result = await get(`/download/${id}`);
    assert.equal(result.status, 200);
    assert.equal(result.bytes.length, status.body.file_size_bytes);
    assert.equal(result.headers.get('content-length'), String(result.bytes.length));
    assert.equal(result.headers.get('content-type'), 'application/octet-stream');
    assert.equal(
      result.headers.get('content-disposition'),
      `attachment; filename="photo_x4.png"; filename*=UTF-8''photo_x4.png`,
    );
    const { format, width, height } = await sharp(result.bytes).metadata();
    assert.deepEqual([format, width, height], ['png', side * 4, 24 * 4]);

    await assertGolden('upscale/download-deleted', await get(`/download/${id}`), ids);
    assert.equal((await send('HEAD', `/download/${id}`)).status, 410);
    assert.deepEqual((await get(`/status/${id}`)).body, status.body);
  });

  it('tells of itself as documented', async () => {
    const health = await get('/health');
    await assertGolden('upscale/health', health, { fields: ['version', 'time'] });
    assert.ok(Math.abs(health.body.time - Date.now() / 1_000) < 60);
  });

  describe('models', () => {
    it('are those that a server can run, the usual one first, with the scales that they give', async () => {
      const answer = await get('/models');
      await assertGolden('upscale/models', answer, { fields: ['version'] });
      const names = answer.body.models.map(({ name }: { name: string }) => name);
      assert.equal(names[0], 'realesrgan-x4plus');
      assert.ok(names.includes('realesr-animevideov3'));
      assert.ok(!names.includes('realesrgan-x4plus-anime'));
      assert.ok(!names.includes('denoise_b'));
    });

    it('are listed by a scale', async () => {
      const of = async (scale: string) => {
        const { body } = await get(`/models?scale=${scale}`);
        return body.models.map(({ name }: { name: string }) => name);
      };
      assert.ok((await of('2')).includes('realesrgan-x2plus'));
      assert.ok(!(await of('3')).includes('realesrgan-x2plus'));
      assert.ok((await of('3')).includes('realesrgan-x4plus'));
      assert.deepEqual(await of(''), await of('2'));
    });

    it('are listed by one scale only', async () => {
      const { status, body } = await get('/models?scale=2&scale=3');
      assert.equal(status, 400);
      assert.match(body.error, /^scale: must be given once/);
    });

    it('that no server has are refused with the reason', async () => {
      const { status, body } = await submit({
        image: image(),
        model_name: 'realesrgan-x4plus-anime',
      });
      assert.equal(status, 503);
      assert.equal(body.code, 'workflow_unavailable');
      assert.match(body.error, /RealESRGAN_x4plus_anime_6B\.pth/);
    });
  });

  describe('makes', () => {
    const sizes: [fields: Fields, times: number][] = [
      [{}, 4],
      [{ scale: '' }, 4],
      [{ scale: '3' }, 3],
      [{ scale: ' 2 ', model_name: 'RealESRGAN-x2plus' }, 2],
      [{ scale: '2', model_name: 'realesr-animevideov3' }, 2],
      [{ scale: '3', model_name: 'RealESRGAN_x4plus', tile_size: '400' }, 3],
    ];
    for (const [fields, times] of sizes) {
      it(`a picture ${times} times as large with ${JSON.stringify(fields)}`, async () => {
        const odd = await samplePng({ width: 19, height: 13, seed: 2 });
        const id = await completed({ image: image(odd), ...fields });
        const { body } = await get(`/status/${id}`);
        assert.deepEqual(body.input_size, { width: 19, height: 13 });
        assert.deepEqual(body.output_size, { width: 19 * times, height: 13 * times });
        const { width, height } = await sharp((await get(`/download/${id}`)).bytes).metadata();
        assert.deepEqual([width, height], [19 * times, 13 * times]);
      });
    }

    const formats: [from: 'png' | 'jpeg' | 'webp' | 'gif', asked: string, made: string][] = [
      ['png', '', 'png'],
      ['jpeg', '', 'jpeg'],
      ['webp', '', 'webp'],
      ['gif', '', 'png'],
      ['png', 'jpg', 'jpeg'],
      ['png', 'JPEG', 'jpeg'],
      ['jpeg', 'webp', 'webp'],
    ];
    for (const [from, asked, made] of formats) {
      it(`${made} of ${from}${asked && ` where ${asked} is asked for`}`, async () => {
        const bytes = await sharp(png).toFormat(from).toBuffer();
        const id = await completed({
          image: image(bytes, 'a.b.bin'),
          format: asked,
          scale: '2',
          model_name: 'in-tiles',
        });
        const result = await get(`/download/${id}`);
        assert.equal((await sharp(result.bytes).metadata()).format, made);
        const ending = made === 'jpeg' ? 'jpg' : made;
        const name = result.headers.get('content-disposition') ?? '';
        assert.ok(name.includes(`filename="a.b_x2.${ending}"`), name);
      });
    }

    it('a name of any name', async () => {
      for (const [name, plain, whole] of [
        ['фото "1".png', '____ _1__x2.png', '%D1%84%D0%BE%D1%82%D0%BE%20_1__x2.png'],
        ['..\\..\\etc/passwd', 'passwd_x2.png', 'passwd_x2.png'],
        ['.png', 'image_x2.png', 'image_x2.png'],
        ['a\0b.png', 'image_x2.png', 'image_x2.png'],
        ['x'.repeat(900), `${'x'.repeat(200)}_x2.png`, `${'x'.repeat(200)}_x2.png`],
      ] as const) {
        const fields = { scale: '2', model_name: 'in-tiles' };
        const id = await completed({ image: image(png, name), ...fields });
        const { headers } = await send('HEAD', `/download/${id}`);
        assert.equal(
          headers.get('content-disposition'),
          `attachment; filename="${plain}"; filename*=UTF-8''${whole}`,
        );
      }
    });

    it('tiles of the size asked for, where the workflow has such a parameter', async () => {
      const tiles = async (tile_size: string) => {
        const fields = { image: image(), scale: '2', model_name: 'in-tiles' };
        await completed({ ...fields, tile_size });
        const [newest] = await gateway.newest();
        return newest?.inputs.tile_size;
      };
      assert.equal(await tiles('400'), 400);
      assert.equal(await tiles('0'), undefined);
    });

    it('a picture of a large file', async () => {
      const bytes = Buffer.concat([png, Buffer.alloc(64 * 1024 ** 2)]);
      const { body, contentType } = multipartForm([
        ['image', { bytes, fileName: 'large.png' }],
        ['scale', '2'],
        ['model_name', 'in-tiles'],
      ]);
      // A connection of its own: to make so large a body takes as long as silent ones are kept.
      const asked = request(`${gateway.url}/api/v1/upscale`, {
        method: 'POST',
        agent: false,
        headers: { 'content-type': contentType, 'content-length': body.length },
      }).end(body);
      const [response] = (await once(asked, 'response')) as [IncomingMessage];
      const answer = JSON.parse(Buffer.concat(await response.toArray()).toString());
      assert.equal(response.statusCode, 202, answer.error);
      const status = await ended(answer.job_id);
      assert.equal(status.body.status, 'completed', status.body.error);
      await nothingIsSpooled();
    });
  });

  describe('refuses', () => {
    const cases: [what: string, fields: () => Fields, says: RegExp, code?: string][] = [
      ['no file', () => ({ scale: '2' }), /^image: is missing/],
      ['a text as the file', () => ({ image: 'photo.png' }), /^image: must be a file/],
      ['a file by another name', () => ({ file: image() }), /^image: is missing/],
      ['a second file', () => ({ image: image(), mask: image() }), /^mask: is a second file/],
      [
        'an empty file',
        () => ({ image: image(Buffer.alloc(0)) }),
        /^image: .*empty/,
        'source_empty',
      ],
      [
        'a file that is no picture',
        () => ({ image: image(Buffer.from('no picture '.repeat(900))) }),
        /^image: .*none of the known types/,
        'media_unsupported',
      ],
      ['a scale of 1', () => ({ image: image(), scale: '1' }), /^scale: must be 2, 3 or 4/],
      ['a scale of 2.5', () => ({ image: image(), scale: '2.5' }), /^scale: must be 2, 3 or 4/],
      ['a scale of x', () => ({ image: image(), scale: 'x' }), /^scale: must be 2, 3 or 4/],
      [
        'a scale that the model does not reach',
        () => ({ image: image(), scale: '3', model_name: 'realesrgan-x2plus' }),
        /^scale: .*realesrgan-x2plus.* 2 times/,
      ],
      [
        'an unknown model',
        () => ({ image: image(), model_name: `a\0${'b'.repeat(9_000)}` }),
        /^model_name: .*known: realesrgan-x4plus, /,
      ],
      [
        'a model that makes nothing larger',
        () => ({ image: image(), model_name: 'denoise_b' }),
        /^model_name: /,
      ],
      ['a format', () => ({ image: image(), format: 'gif' }), /^format: must be png, jpg or webp/],
      ['tiles of x', () => ({ image: image(), tile_size: 'x' }), /^tile_size: must be a whole/],
      ['tiles of -1', () => ({ image: image(), tile_size: '-1' }), /^tile_size: must be a whole/],
      [
        'tiles that the workflow does not take',
        () => ({ image: image(), scale: '2', model_name: 'in-tiles', tile_size: '513' }),
        /^tile_size must be at most 512/,
      ],
    ];
    for (const [what, fields, says, code = 'invalid_request'] of cases) {
      it(`${what}, and keeps nothing`, async () => {
        const answer = await submit(fields());
        assert.equal(answer.status, 400, answer.bytes.toString());
        assert.deepEqual(Object.keys(answer.body), ['success', 'error', 'code']);
        assert.match(answer.body.error, says);
        assert.equal(answer.body.code, code);
        await nothingIsSpooled();
        assert.ok(answer.bytes.length < 1_000);
      });
    }

    it('a clip, and a sound', async () => {
      const clip = await sampleMp4({ width: 32, height: 32, frames: 2, fps: 8, seed: 1 });
      const answer = await submit({ image: image(clip, 'clip.mp4') });
      await assertGolden('upscale/upscale-refused', answer);
      const heard = await submit({ image: image(sampleWav(), 'voice.wav') });
      assert.equal(heard.body.error, 'image: must be a picture, not a sound');
    });

    it('two files of one name', async () => {
      const form = formOf({ image: image() });
      form.append('image', new Blob(['x']), 'b.png');
      const { status, body } = await send('POST', '/upscale', {}, form);
      assert.equal(status, 400);
      assert.match(body.error, /^image: is there twice/);
    });

    it('a form that ends before its end', async () => {
      const response = await fetch(`${gateway.url}/api/v1/upscale`, {
        method: 'POST',
        headers: { 'content-type': 'multipart/form-data; boundary=x' },
        body: '--x\r\ncontent-disposition: form-data; name="scale"\r\n\r\n2',
      });
      assert.equal(response.status, 400);
      assert.match(((await response.json()) as { error: string }).error, /form is broken/);
    });

    it('an image that is larger than is allowed', async () => {
      await using small = await TestGateway.start({
        engine: 'postgres',
        backends: [emulator.url],
        env: { MAX_SOURCE_BYTES: '1000' },
      });
      const form = formOf({ image: image() });
      const response = await fetch(`${small.url}/api/v1/upscale`, { method: 'POST', body: form });
      assert.equal(response.status, 413);
      const body = (await response.json()) as { error: string; code: string };
      assert.match(body.error, /^image: .*larger than 1000 bytes/);
      assert.equal(body.code, 'source_too_large');
    });

    it('no field that it does not know', async () => {
      await accepted({ image: image(), scale: '2', model_name: 'in-tiles', of_no_meaning: 'x' });
    });
  });

  describe('a job', () => {
    it('that failed says why, and has nothing to download', async () => {
      const id = await accepted({ image: image(png.subarray(0, png.length - 40)) });
      await assertGolden('upscale/status-failed', await ended(id), ids);
      await assertGolden('upscale/download-failed', await get(`/download/${id}`), ids);
      const late = await send('POST', `/cancel/${id}`);
      await assertGolden('upscale/cancel-ended', late, ids);
    });

    it('is canceled once, and canceled again', async () => {
      emulator.faults.stall(true);
      try {
        const id = await accepted({ image: image() });
        const canceled = await send('POST', `/cancel/${id}`);
        await assertGolden('upscale/cancel', canceled, ids);
        assert.deepEqual((await send('POST', `/cancel/${id}`)).body, canceled.body);
        await assertGolden('upscale/status-canceled', await get(`/status/${id}`), ids);
        assert.equal((await get(`/download/${id}`)).status, 409);
      } finally {
        emulator.faults.stall(false);
      }
    });

    it('is not known by an id that was never given', async () => {
      const id = '1769781953720134401';
      await assertGolden('upscale/status-unknown', await get(`/status/${id}`), ids);
      for (const each of [id, '0', '%00', '%', '%E0%A4%A', '..%2f..', '9'.repeat(5_000)]) {
        assert.equal((await get(`/status/${each}`)).status, 404, each);
        assert.equal((await get(`/download/${each}`)).status, 404, each);
        assert.equal((await send('POST', `/cancel/${each}`)).status, 404, each);
      }
    });
  });

  describe('a result', () => {
    let id: string;
    let whole: Buffer;

    before(async () => {
      // Noise takes so many bytes that no client reads them at once.
      const noise = Buffer.from(Array.from({ length: 96 * 96 * 3 }, (_, i) => (i * i * 31) >>> 3));
      const raw = { width: 96, height: 96, channels: 3 } as const;
      const bytes = await sharp(noise, { raw }).png().toBuffer();
      id = await completed({ image: image(bytes) });
      // A part that is the whole is no download of the whole.
      const all = await get(`/download/${id}`, { range: 'bytes=0-' });
      assert.equal(all.status, 206);
      whole = all.bytes;
      assert.ok(whole.length > 200_000, String(whole.length));
    });

    it('stays while its head or parts of it are asked for', async () => {
      const head = await send('HEAD', `/download/${id}`);
      assert.equal(head.headers.get('content-length'), String(whole.length));
      const etag = head.headers.get('etag') ?? '';
      assert.equal((await get(`/download/${id}`, { 'if-none-match': etag })).status, 304);
      const part = await get(`/download/${id}`, { range: 'bytes=-100' });
      assert.equal(part.status, 206);
      assert.ok(part.bytes.equals(whole.subarray(-100)));
      assert.equal((await get(`/download/${id}`, { range: 'bytes=99999999-' })).status, 416);
      assert.equal((await send('HEAD', `/download/${id}`)).status, 200);
    });

    for (const connection of ['keep-alive', 'close']) {
      it(`may be downloaded again after a download broke off, with ${connection}`, async () => {
        const before = await stored();
        const { asked, response } = await begin(connection);
        await once(response, 'readable');
        asked.destroy();
        await once(asked, 'close');
        const again = await get(`/download/${id}`, { range: 'bytes=0-' });
        assert.ok(again.bytes.equals(whole));
        assert.deepEqual(await stored(), before);
      });
    }

    it('is deleted once a client has all of it', async () => {
      const before = await stored();
      const result = await get(`/download/${id}`);
      assert.ok(result.bytes.equals(whole));
      assert.equal((await get(`/download/${id}`)).status, 410);
      assert.equal((await stored()).length, before.length - 1);
    });

    it('is deleted at whatever place it is downloaded', async () => {
      const fields = { image: image(), scale: '2', model_name: 'in-tiles' };
      const places = [
        `${gateway.url}/upscale-service/api/v1`,
        `${gateway.dialectUrls.get('upscale')}/api/v1`,
      ];
      for (const place of places) {
        const path = `${place}/download/${await completed(fields)}`;
        const response = await fetch(path);
        assert.equal(response.status, 200);
        assert.ok((await response.arrayBuffer()).byteLength > 0);
        const again = await fetch(path);
        await again.arrayBuffer();
        assert.equal(again.status, 410);
      }
    });

    /** Asks for the result and reads no more than its head. */
    async function begin(
      connection: string,
    ): Promise<{ asked: ClientRequest; response: IncomingMessage }> {
      const asked = request(`${gateway.url}/api/v1/download/${id}`, {
        agent: false,
        headers: { connection },
      });
      asked.on('error', () => {});
      asked.end();
      const [response] = (await once(asked, 'response')) as [IncomingMessage];
      response.on('error', () => {});
      assert.equal(response.statusCode, 200);
      return { asked, response };
    }
  });
});
