import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import sharp from 'sharp';
import { Emulator } from '../src/emulator/emulator.ts';
import type { TaskBody } from './support/gateway-client.ts';
import { samplePng } from './support/media-samples.ts';
import { SourceServer } from './support/source-server.ts';
import { TestGateway } from './support/test-gateway.ts';
import {
  createTestWorkflows,
  passClipGraph,
  type TestWorkflows,
} from './support/test-workflows.ts';

const media = new URL('./media/', import.meta.url);

/** A picture of one pixel, enlarged: all of it has one colour. */
const flatGraph = {
  '1': { class_type: 'LoadImage', inputs: { image: 'a.png' } },
  '2': scale('1', 1),
  '3': scale('2', 64),
  '4': { class_type: 'SaveImage', inputs: { images: ['3', 0], filename_prefix: 'out' } },
};

function scale(image: string, side: number) {
  const inputs = { image: [image, 0], upscale_method: 'nearest-exact', crop: 'disabled' };
  return { class_type: 'ImageScale', inputs: { ...inputs, width: side, height: side } };
}

describe('what a result is not', () => {
  const cleanup = new AsyncDisposableStack();
  let emulator: Emulator;
  let sources: SourceServer;
  let workflows: TestWorkflows;
  let gateway: TestGateway;

  before(async () => {
    emulator = cleanup.use(await Emulator.start());
    sources = cleanup.use(await SourceServer.start());
    workflows = cleanup.use(await createTestWorkflows(0.01));
    await workflows.write('flat', flatGraph);
    await workflows.write('pass', passClipGraph());
    gateway = cleanup.use(
      await TestGateway.start({
        engine: 'pglite',
        backends: [emulator.url],
        env: { SOURCE_ALLOW: sources.host, WORKFLOWS_DIR: workflows.folder, CACHE: 'on' },
      }),
    );
  });
  after(() => cleanup.disposeAsync());

  async function run(name: string, bytes: Buffer, workflow: string): Promise<TaskBody> {
    const task = { url: sources.file(name, bytes), workflow };
    const { status, body } = await gateway.call('POST', '/tasks', task);
    // The source is read later.
    assert.deepEqual([status, body.warnings], [200, []]);
    return await gateway.until(body.task_id);
  }

  async function clip(name: string): Promise<Buffer> {
    return await readFile(new URL(name, media));
  }

  const codes = ({ warnings }: TaskBody) => warnings.map(({ code }) => code);

  it('is flat where its source is not, and a task that takes the result is told as well', async () => {
    const photo = await samplePng({ width: 60, height: 40 });
    const first = await run('photo.png', photo, 'flat');
    assert.equal(first.status, 'completed', first.error ?? '');
    assert.deepEqual(codes(first), ['flat_result']);
    const second = await run('again.png', photo, 'flat');
    assert.equal(second.cached, true);
    assert.deepEqual(second.warnings, first.warnings);
  });

  it('is flat as its source is, and nobody is warned', async () => {
    const create = { width: 60, height: 40, channels: 3, background: 'teal' } as const;
    const plain = await sharp({ create }).png().toBuffer();
    assert.deepEqual(codes(await run('plain.png', plain, 'flat')), []);
    const photo = await samplePng({ width: 60, height: 40 });
    assert.deepEqual(codes(await run('photo.png', photo, 'sleep')), []);
  });

  it('is not HDR as its source is, nor at a variable rate', async () => {
    assert.deepEqual(codes(await run('hdr.mp4', await clip('cases/hdr.mp4'), 'pass')), [
      'hdr_source',
    ]);
    const variable = await run('variable.mp4', await clip('clips/variable.mp4'), 'pass');
    assert.deepEqual(codes(variable), ['variable_rate']);
  });

  it('is no result where players show nothing of it', async () => {
    const runs = emulator.runs.length;
    const broken = await run('late.mp4', await clip('made/remuxed-bframes.mp4'), 'pass');
    assert.deepEqual([broken.status, broken.error_code], ['failed', 'output_broken']);
    assert.match(broken.error ?? '', /begins in the middle/);
    assert.equal(emulator.runs.length, runs + 2, 'another server might have made it well');
  });
});
