import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Emulator } from '../src/emulator/emulator.ts';
import { eventually } from './support/eventually.ts';
import { sampleMp4, samplePng } from './support/media-samples.ts';
import { type Answer, SourceServer } from './support/source-server.ts';
import { TestGateway } from './support/test-gateway.ts';

describe('bad input', () => {
  const cleanup = new AsyncDisposableStack();
  let emulator: Emulator;
  let sources: SourceServer;
  let gateway: TestGateway;

  before(async () => {
    emulator = cleanup.use(await Emulator.start());
    sources = cleanup.use(await SourceServer.start());
    gateway = cleanup.use(
      await TestGateway.start({
        engine: 'postgres',
        backends: [emulator.url],
        env: { SOURCE_ALLOW: sources.host, MAX_SOURCE_BYTES: '200000' },
      }),
    );
  });
  after(() => cleanup.disposeAsync());

  const url = 'https://example.com/a.png';
  const wordsOfLibraries = /Invalid |Too (big|small)|Unrecognized|Malformed|expected|received/;
  /** What the request is answered with: its code and the field that is named. */
  const atTheDoor: [name: string, body: unknown, code: string, field?: string][] = [
    ['no body', '', 'invalid_request'],
    ['a body that is no JSON', '{"url"', 'invalid_request'],
    ['a body that is no object', [url], 'invalid_request'],
    ['null', 'null', 'invalid_request'],
    ['no url', {}, 'invalid_request', 'url'],
    ['an empty url', { url: '' }, 'invalid_request', 'url'],
    ['a url that is a number', { url: 3 }, 'invalid_request', 'url'],
    ['a url that is null', { url: null }, 'invalid_request', 'url'],
    ['a url of 9000 characters', { url: `${url}?${'x'.repeat(9000)}` }, 'invalid_request', 'url'],
    ['a url that is none', { url: 'a.png' }, 'source_invalid', 'url'],
    ['a data: url', { url: 'data:image/png;base64,AAAA' }, 'source_invalid', 'url'],
    ['a file: url', { url: 'file:///etc/passwd' }, 'source_invalid', 'url'],
    ['an ftp: url', { url: 'ftp://example.com/a.png' }, 'source_invalid', 'url'],
    ['a url with a password', { url: 'https://me:secret@example.com/a' }, 'source_invalid', 'url'],
    ['a url to loopback', { url: 'http://127.0.0.1/a.png' }, 'source_refused', 'url'],
    ['loopback by its name', { url: 'http://localhost/a.png' }, 'source_refused', 'url'],
    ['a name below it', { url: 'http://a.LOCALHOST./a.png' }, 'source_refused', 'url'],
    ['loopback as a number', { url: 'http://2130706433/a.png' }, 'source_refused', 'url'],
    ['loopback in IPv6', { url: 'http://[::1]/a.png' }, 'source_refused', 'url'],
    ['a metadata address', { url: 'http://169.254.169.254/latest' }, 'source_refused', 'url'],
    ['Aliyun’s metadata address', { url: 'http://100.100.100.200/' }, 'source_refused', 'url'],
    ['a private address', { url: 'http://10.0.0.1/a.png' }, 'source_refused', 'url'],
    ['a type that is none', { url, type: 'sound' }, 'invalid_request', 'type'],
    ['a type that is a number', { url, type: 1 }, 'invalid_request', 'type'],
    ['an unknown workflow', { url, workflow: 'nope' }, 'workflow_unknown', 'workflow'],
    ['a workflow with a path', { url, workflow: '../main' }, 'invalid_request', 'workflow'],
    ['a workflow with a slash', { url, workflow: 'a/b.json' }, 'invalid_request', 'workflow'],
    ['an empty workflow', { url, workflow: '' }, 'invalid_request', 'workflow'],
    [
      'an image workflow for a video',
      { url, type: 'video', workflow: 'esrgan_image_4x' },
      'workflow_mismatch',
      'type',
    ],
    ['a model with a NUL', { url, model: 'a\0b' }, 'invalid_request'],
    ['a name of a value with a NUL', { url, inputs: { 'a\0': 1 } }, 'invalid_request'],
    ['half of a surrogate pair', { url, inputs: { prompt: '\ud83d' } }, 'invalid_request'],
    ['inputs that are a list', { url, inputs: [] }, 'invalid_request', 'inputs'],
    ['a value that the workflow has not', { url, inputs: { x: 1 } }, 'invalid_request', 'inputs.x'],
    ['a model that is a list', { url, model: [] }, 'invalid_request', 'model'],
    ['outscale 0', { url, outscale: 0 }, 'invalid_request', 'outscale'],
    ['a negative outscale', { url, outscale: -2 }, 'invalid_request', 'outscale'],
    ['outscale as text', { url, outscale: '4' }, 'invalid_request', 'outscale'],
    ['outscale 1000', { url, outscale: 1000 }, 'invalid_request', 'outscale'],
    [
      'magnification 0',
      { url, output_magnification: 0 },
      'invalid_request',
      'output_magnification',
    ],
    ['one dimension', { url, output_dims: [100] }, 'invalid_request', 'output_dims'],
    ['three dimensions', { url, output_dims: [1, 2, 3] }, 'invalid_request', 'output_dims'],
    ['dimension 0', { url, output_dims: [0, 5] }, 'invalid_request', 'output_dims.0'],
    ['half a pixel', { url, output_dims: [10, 5.5] }, 'invalid_request', 'output_dims.1'],
    ['a side of 20000', { url, output_dims: [20_000, 5] }, 'invalid_request', 'output_dims.0'],
    ['a format that is none', { url, format: 'bmp' }, 'invalid_request', 'format'],
    ['a format for a video', { url, type: 'video', format: 'webp' }, 'invalid_request', 'format'],
    ['a quality of 0', { url, format: 'jpg', quality: 0 }, 'invalid_request', 'quality'],
    ['half a quality', { url, format: 'jpg', quality: 80.5 }, 'invalid_request', 'quality'],
    [
      'a quality of PNG',
      { url, type: 'image', format: 'png', quality: 80 },
      'invalid_request',
      'quality',
    ],
    ['a quality of nothing', { url, type: 'image', quality: 80 }, 'invalid_request', 'quality'],
    [
      'a wish that is no boolean',
      { url, keep_metadata: 'yes' },
      'invalid_request',
      'keep_metadata',
    ],
    ['a model of 300 characters', { url, model: 'x'.repeat(300) }, 'invalid_request', 'model'],
    [
      'a name of an input that is lost',
      `{"url": "${url}", "inputs": {"__proto__": 1}}`,
      'invalid_request',
    ],
    [
      'a name that is lost, written in numbers',
      '{"\\u005f_proto__": {"url": "x"}}',
      'invalid_request',
    ],
    ['a body of 2 MB', { url, model: 'x'.repeat(2 * 1024 * 1024) }, 'body_too_large'],
  ];
  for (const [name, body, code, field] of atTheDoor) {
    it(`refuses ${name} at once`, async () => {
      const answer = await gateway.call('POST', '/tasks', body);
      assert.equal(answer.status, code === 'body_too_large' ? 413 : 400, JSON.stringify(answer));
      assert.equal(answer.body.status, 'error');
      assert.equal(answer.body.code, code);
      assert.equal(answer.body.field, field);
      assert.ok(answer.body.message.length > 5);
      assert.doesNotMatch(JSON.stringify(answer.body), /node_modules|\.ts:|\/src\/|stack/);
      assert.doesNotMatch(answer.body.message, wordsOfLibraries);
    });
  }

  for (const [method, path, body, message] of [
    ['POST', '/tasks', [url], 'The body must be an object'],
    ['POST', '/tasks', '{"url"', 'The body is not JSON'],
    ['POST', '/tasks', { url, model: 'x'.repeat(300) }, 'model: must be at most 200 characters'],
    ['POST', '/keys', {}, 'name: is missing'],
    ['PATCH', '/backends/a', 'null', 'The body must be an object'],
    ['POST', '/backends', { url: 'x'.repeat(3_000) }, 'url: must be at most 2000 characters'],
  ] as const) {
    it(`says in its own words what is wrong: ${path} ${message}`, async () => {
      const answer = await gateway.call(method, path, body);
      assert.equal(answer.body.message, message);
    });
  }

  const png = () => samplePng({ width: 64, height: 64, seed: 1 });
  const found: [name: string, answer: () => Promise<Answer>, code: string, type?: 'video'][] = [
    ['a 404', async () => status(404), 'source_not_found'],
    ['a 403', async () => status(403), 'source_denied'],
    ['a 500', async () => status(500), 'source_failed'],
    [
      'HTML instead of an image',
      async () => bytes(Buffer.from('<html>Hi</html>')),
      'media_unsupported',
    ],
    ['a file of 0 bytes', async () => bytes(Buffer.alloc(0)), 'source_empty'],
    ['text', async () => bytes(Buffer.from('just some text')), 'media_unsupported'],
    [
      'an SVG',
      async () =>
        bytes(Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')),
      'media_unsupported',
    ],
    ['a truncated PNG', async () => bytes((await png()).subarray(0, 2_000)), 'media_corrupt'],
    ['a PNG for a video task', async () => bytes(await png()), 'media_mismatch', 'video'],
    [
      'a truncated MP4',
      async () => {
        const clip = await sampleMp4({ width: 64, height: 48, frames: 6, fps: 12 });
        return bytes(clip.subarray(0, clip.length - 300));
      },
      'media_corrupt',
      'video',
    ],
    ['a file larger than allowed', async () => bytes(Buffer.alloc(300_000, 1)), 'source_too_large'],
    [
      'an endless body',
      async () => (_request, response) => {
        response.writeHead(200);
        const timer = setInterval(() => response.write(Buffer.alloc(50_000)), 1);
        response.on('close', () => clearInterval(timer));
      },
      'source_too_large',
    ],
    [
      'a redirect to a metadata address',
      async () => (_request, response) => {
        response.writeHead(302, { location: 'http://169.254.169.254/latest/meta-data' }).end();
      },
      'source_refused',
    ],
    [
      'a result that would be too large',
      async () => bytes(await samplePng({ width: 600, height: 4, seed: 5 })),
      'media_too_large',
    ],
  ];
  for (const [name, answer, code, type] of found) {
    it(`fails a task whose source is ${name}`, async () => {
      const source = sources.answer(`${randomUUID()}.png`, await answer());
      const wish = code === 'media_too_large' ? { outscale: 64 } : {};
      const id = await gateway.submit({ url: source, type: type ?? 'image', ...wish });
      const task = await gateway.until(id);
      assert.equal(task.status, 'failed');
      assert.equal(task.error_code, code, task.error ?? '');
      assert.ok(task.error);
      assert.doesNotMatch(task.error, /169\.254|127\.0\.0\.1|\/tmp\//);
      assert.ok(
        task.stages.every(
          ({ status }) => status === 'failed' || status === 'skipped' || status === 'success',
        ),
      );
      assert.equal(task.output, null);
    });
  }

  it('fails a task whose source cannot be reached', async () => {
    const gone = await SourceServer.start();
    await gone[Symbol.asyncDispose]();
    const { body } = await gateway.call('POST', '/tasks', { url: `http://${gone.host}/a.png` });
    // The port is not the one that is allowed.
    assert.equal(body.code, 'source_refused');
  });

  it('knows no task that is not there', async () => {
    for (const id of [randomUUID().replaceAll('-', ''), 'abc', '..%2F..', "1' or '1'='1"]) {
      for (const method of ['GET', 'DELETE'] as const) {
        const { status, body } = await gateway.call(method, `/tasks/${encodeURIComponent(id)}`);
        assert.equal(status, 404);
        assert.equal(body.code, 'task_not_found');
      }
    }
    assert.equal((await gateway.call('GET', '/nowhere')).body.code, 'not_found');
    assert.equal((await gateway.call('GET', '/objects/a/../../db.lock')).status, 404);
    assert.equal(
      (await gateway.call('GET', '/objects/..%2f..%2fdb.lock')).body.code,
      'object_not_found',
    );
  });

  it('leaves nothing behind', async () => {
    await eventually(async () => assert.deepEqual(await gateway.spooled(), []));
    const objects = await readdir(join(gateway.dataDir, 'objects'), { recursive: true });
    assert.deepEqual(
      objects.filter((name) => name.includes('.png') || name.includes('.mp4')),
      [],
    );
    const { body } = await gateway.call('GET', '/monitor/stats');
    assert.equal(body.stats.pending + body.stats.processing, 0);
    assert.equal(emulator.runs.length, 0);
  });
});

function bytes(content: Buffer): Answer {
  return (_request, response) => {
    response.writeHead(200, { 'content-length': content.length }).end(content);
  };
}

function status(code: number): Answer {
  return (_request, response) => {
    response.writeHead(code).end('no');
  };
}
