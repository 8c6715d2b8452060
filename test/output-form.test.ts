import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import sharp from 'sharp';
import { request } from 'undici';
import { Emulator } from '../src/emulator/emulator.ts';
import { eventually } from './support/eventually.ts';
import type { OutputBody, TaskBody } from './support/gateway-client.ts';
import { sampleMp4, samplePng } from './support/media-samples.ts';
import { SourceServer } from './support/source-server.ts';
import { TestGateway } from './support/test-gateway.ts';
import { createTestWorkflows, sleepGraph, type TestWorkflows } from './support/test-workflows.ts';

describe('the form of results', () => {
  const cleanup = new AsyncDisposableStack();
  let emulator: Emulator;
  let sources: SourceServer;
  let workflows: TestWorkflows;
  let gateway: TestGateway;
  let url: string;

  before(async () => {
    emulator = cleanup.use(await Emulator.start());
    sources = cleanup.use(await SourceServer.start());
    workflows = cleanup.use(await createTestWorkflows(0.01));
    await workflows.write('two', {
      ...sleepGraph(0.01),
      '4': { class_type: 'SaveImage', inputs: { images: ['2', 0], filename_prefix: 'again' } },
    });
    await workflows.write('small.meta', { limits: { max_pixels: 400 * 300 - 1, max_frames: 5 } });
    await workflows.write('small', sleepGraph(0.01));
    gateway = cleanup.use(await start({}));
    url = sources.file('photo.png', await samplePng({ width: 400, height: 300, seed: 1 }));
  });
  after(() => cleanup.disposeAsync());

  async function start(env: Record<string, string>): Promise<TestGateway> {
    return await TestGateway.start({
      engine: 'pglite',
      backends: [emulator.url],
      env: { SOURCE_ALLOW: sources.host, WORKFLOWS_DIR: workflows.folder, ...env },
    });
  }

  async function run(task: object, on = gateway): Promise<TaskBody> {
    const done = await on.until(await on.submit({ url, workflow: 'sleep', ...task }));
    assert.equal(done.status, 'completed', done.error ?? '');
    await eventually(async () => assert.deepEqual(await on.spooled(), []));
    return done;
  }

  /** The bytes behind the link, which are what is said of them. */
  async function stored({ url, metadata }: OutputBody): Promise<Buffer> {
    const response = await request(url);
    const bytes = Buffer.from(await response.body.arrayBuffer());
    assert.equal(response.headers['content-type'], metadata.content_type);
    assert.equal(bytes.length, metadata.size_bytes);
    assert.equal(createHash('sha256').update(bytes).digest('hex'), metadata.sha256);
    return bytes;
  }

  function outputOf({ output }: TaskBody): OutputBody {
    assert.ok(output);
    return output;
  }

  it('strips the graph from a picture, and keeps it for those who want it', async () => {
    const plain = await stored(outputOf(await run({})));
    const kept = await stored(outputOf(await run({ keep_metadata: true })));
    assert.ok(kept.includes('class_type'));
    assert.equal(plain.includes('class_type'), false);
    assert.equal(plain.includes('tEXt'), false);
    assert.ok((await sharp(plain).raw().toBuffer()).equals(await sharp(kept).raw().toBuffer()));
  });

  it('encodes every picture as it was asked for', async () => {
    const sizes = new Map<string, number>();
    for (const [format, quality, type] of [
      ['jpg', 20, 'image/jpeg'],
      ['webp', 20, 'image/webp'],
      ['webp', null, 'image/webp'],
      ['avif', 20, 'image/avif'],
      ['png', null, 'image/png'],
    ] as const) {
      const task = await run({ workflow: 'two', format, ...(quality ? { quality } : {}) });
      assert.equal(task.outputs.length, 2);
      for (const output of task.outputs) {
        const bytes = await stored(output);
        assert.equal(output.metadata.content_type, type);
        assert.equal(output.metadata.format, format);
        assert.deepEqual([output.metadata.width, output.metadata.height], [400, 300]);
        assert.ok(output.url.endsWith(`.${format}`), output.url);
        assert.equal(bytes.includes('class_type'), false);
        sizes.set(`${format} ${quality}`, bytes.length);
      }
    }
    assert.ok((sizes.get('webp 20') ?? 0) < (sizes.get('webp null') ?? 0));
  });

  it('refuses a form that the results cannot have, before anybody waits', async () => {
    for (const [task, field] of [
      [{ workflow: 'esrgan_video_2x', format: 'webp' }, 'format'],
      [{ workflow: 'sleep', format: 'png', quality: 80 }, 'quality'],
      [{ workflow: 'sleep', quality: 80 }, 'quality'],
    ] as const) {
      const { status, body } = await gateway.call('POST', '/tasks', { url, ...task });
      assert.deepEqual([status, body.code, body.field], [400, 'invalid_request', field]);
    }
  });

  it('links a thumbnail of every picture, and none of a video', async () => {
    const { outputs } = await run({ workflow: 'two' });
    const links = outputs.map(({ thumbnail_url }) => thumbnail_url);
    assert.equal(new Set(links).size, 2);
    for (const link of links) {
      const response = await request(link ?? '');
      assert.equal(response.headers['content-type'], 'image/webp');
      const { width, height } = await sharp(await response.body.bytes()).metadata();
      assert.deepEqual([width, height], [320, 240]);
    }
    const clip = await sampleMp4({ width: 32, height: 32, frames: 3, fps: 10 });
    const video = await run({ url: sources.file('a.mp4', clip), workflow: 'esrgan_video_2x' });
    assert.equal(outputOf(video).thumbnail_url, null);
  });

  it('makes no thumbnail where none is wanted', async () => {
    await using other = await start({ THUMBNAILS: 'false' });
    assert.equal(outputOf(await run({}, other)).thumbnail_url, null);
    const kept = await stored(outputOf(await run({ keep_metadata: true }, other)));
    assert.ok(kept.includes('class_type'));
  });

  it('refuses a source beyond the limits before a GPU is taken', async () => {
    await using other = await start({ MAX_VIDEO_FRAMES: '20', MAX_VIDEO_SECONDS: '3' });
    const runs = emulator.runs.length;
    const clip = (frames: number, fps: number) => sampleMp4({ width: 32, height: 32, frames, fps });
    for (const [name, bytes, task] of [
      ['frames.mp4', await clip(21, 30), { workflow: 'esrgan_video_2x' }],
      ['long.mp4', await clip(8, 2), { workflow: 'esrgan_video_2x' }],
      ['large.png', await samplePng({ width: 400, height: 300 }), { workflow: 'small' }],
    ] as const) {
      const id = await other.submit({ url: sources.file(name, bytes), ...task });
      const { status, error_code, error } = await other.until(id);
      assert.deepEqual([status, error_code], ['failed', 'media_too_large'], `${name}: ${error}`);
    }
    assert.equal(emulator.runs.length, runs);
    const fits = sources.file('fits.png', await samplePng({ width: 400, height: 299 }));
    await run({ url: fits, workflow: 'small' }, other);
  });
});
