import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import sharp from 'sharp';
import { request } from 'undici';
import { Emulator } from '../src/emulator/emulator.ts';
import type { Loaders } from '../src/emulator/loaders/loaders.ts';
import type { TaskBody } from './support/gateway-client.ts';
import { assertShows, pictureFile, type Seen, seenPictures } from './support/seen-pictures.ts';
import { SourceServer } from './support/source-server.ts';
import { TestGateway } from './support/test-gateway.ts';
import { createTestWorkflows, type TestWorkflows } from './support/test-workflows.ts';

const load = { class_type: 'LoadImage', inputs: { image: 'a.png' } };
const save = (from: string) => ({
  class_type: 'SaveImage',
  inputs: { images: [from, 0], filename_prefix: 'a' },
});

for (const loaders of ['0.3.64', '0.33'] as const satisfies readonly Loaders[]) {
  describe(`pictures on their way to ComfyUI ${loaders}`, () => {
    const cleanup = new AsyncDisposableStack();
    let emulator: Emulator;
    let sources: SourceServer;
    let workflows: TestWorkflows;
    let gateway: TestGateway;

    before(async () => {
      emulator = cleanup.use(await Emulator.start({ loaders }));
      sources = cleanup.use(await SourceServer.start());
      workflows = cleanup.use(await createTestWorkflows(0.01));
      await workflows.write('copy', { 1: load, 2: save('1') });
      await workflows.write('frames', { 1: load, 2: save('1') });
      await workflows.write('frames.meta', { frames: 'all' });
      await workflows.write('crop', {
        1: load,
        2: {
          class_type: 'ImageScale',
          inputs: {
            image: ['1', 0],
            upscale_method: 'lanczos',
            width: 32,
            height: 32,
            crop: 'center',
          },
        },
        3: save('2'),
      });
      gateway = cleanup.use(
        await TestGateway.start({
          engine: 'pglite',
          backends: [emulator.url],
          env: { SOURCE_ALLOW: sources.host, WORKFLOWS_DIR: workflows.folder },
        }),
      );
    });
    after(() => cleanup.disposeAsync());

    async function run(name: string, task: object): Promise<TaskBody> {
      const url = sources.file(name.replace('/', '-'), await readFile(pictureFile(name)));
      return await gateway.until(await gateway.submit({ url, ...task }));
    }

    async function completed(name: string, task: object): Promise<TaskBody> {
      const done = await run(name, task);
      assert.equal(done.status, 'completed', `${name}: ${done.error}`);
      return done;
    }

    async function stored({ output }: TaskBody): Promise<Buffer> {
      const { body } = await request(output?.url ?? '');
      return Buffer.from(await body.arrayBuffer());
    }

    /** The files that the backend has, by their paths. */
    async function received(): Promise<Set<string>> {
      const folder = join(emulator.dataDir, 'input', 'tmlsr');
      const names = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
      const files = names.filter((entry) => entry.isFile());
      return new Set(files.map(({ parentPath, name }) => join(parentPath, name)));
    }

    it('are there what a person sees, and once', async () => {
      for (const [name, seen] of Object.entries(seenPictures)) {
        const before = await received();
        const done = await completed(name, { workflow: 'copy' });
        const [file = '', second] = (await received()).difference(before);
        assert.equal(second, undefined, name);
        const bytes = await readFile(file);
        await assertShows(bytes, seen, `${name} on the backend`);
        const isSame = bytes.equals(await readFile(pictureFile(name)));
        assert.equal(isSame, seen.isSame ?? false, name);

        assert.equal(done.outputs.length, 1, name);
        await assertShows(await stored(done), seen, `${name} in the store`, 8);
        const { width, height, input } = done.output?.metadata ?? {};
        assert.deepEqual([width, height], seen.size, name);
        assert.deepEqual([input?.width, input?.height], seen.size, name);
      }
    });

    it('come back one a frame where a workflow takes all of them', async () => {
      const { outputs, output } = await completed('cases/anim.gif', { workflow: 'frames' });
      assert.equal(outputs.length, 5);
      assert.equal(output?.metadata.input?.frames, 5);
    });

    it('stay transparent where they are, at any size', async () => {
      const { size, at } = seenPictures['cases/rgba.png'] as Seen;
      for (const [task, factor] of [
        [{ workflow: 'esrgan_image_2x' }, 2],
        [{ workflow: 'esrgan_image_2x', outscale: 3 }, 3],
        [{ workflow: 'seedvr2_native_image_2048', output_dims: [192, 144] }, 3],
      ] as const) {
        const done = await completed('cases/rgba.png', task);
        assert.equal(done.output?.metadata.transparency, 'kept', task.workflow);
        const result = await stored(done);
        const { width, height } = await sharp(result).metadata();
        assert.deepEqual([width, height], [size[0] * factor, size[1] * factor]);
        const alpha = await sharp(result).extractChannel('alpha').raw().toBuffer();
        for (const [x, y, colour] of at) {
          const shown = alpha[Math.floor(y * height) * width + Math.floor(x * width)] ?? -1;
          assert.ok(Math.abs(shown - (colour[3] ?? 0)) <= 8, `${shown} at ${x}, ${y}`);
        }
      }
    });

    it('say what becomes of their transparency', async () => {
      const kept = async (name: string) =>
        (await gateway.call('GET', `/workflows/${name}`)).body.keeps_transparency;
      assert.deepEqual([await kept('copy'), await kept('crop')], [true, false]);

      const cropped = await completed('cases/rgba.png', { workflow: 'crop' });
      assert.equal(cropped.output?.metadata.transparency, 'dropped');
      const jpeg = await completed('cases/rgba.png', { workflow: 'copy', format: 'jpg' });
      assert.equal(jpeg.output?.metadata.transparency, 'dropped');
      const white = [[0.2, 0.2, [255, 255, 255]]] as const;
      await assertShows(await stored(jpeg), { size: [64, 48], at: white }, 'on white', 8);

      const { output } = await completed('cases/exif5.jpg', { workflow: 'copy' });
      assert.equal(Object.hasOwn(output?.metadata ?? {}, 'transparency'), false);
    });

    // Nothing of it is the loader's: once is enough.
    if (loaders !== '0.33') return;
    it('may be wider than an ImageScale takes, but not than their format', async () => {
      const wide = await completed('cases/wide8200.png', {
        workflow: 'esrgan_image_2x',
        outscale: 2,
      });
      assert.deepEqual([wide.output?.metadata.width, wide.output?.metadata.height], [16_400, 16]);
      const runs = emulator.runs.length;
      for (const format of ['webp', 'avif']) {
        const done = await run('cases/wide8200.png', { workflow: 'esrgan_image_2x', format });
        assert.deepEqual([done.status, done.error_code], ['failed', 'media_too_large']);
        assert.equal(done.stages.find(({ name }) => name === 'download')?.status, 'failed');
      }
      assert.equal(emulator.runs.length, runs);
    });
  });
}
