import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { realTempo } from '../src/core/tempo.ts';
import { Emulator } from '../src/emulator/emulator.ts';
import { SourceServer } from './support/source-server.ts';
import { testTempo } from './support/tempo.ts';
import { enginesAboveStores } from './support/test-database.ts';
import { TestGateway } from './support/test-gateway.ts';

interface Case {
  readonly file: string;
  readonly wish?: Readonly<Record<string, unknown>>;
  /** Of the result. */
  readonly size: readonly [width: number, height: number];
  readonly frames: number;
  readonly input?: Readonly<Record<string, unknown>>;
}

/** The frames go through the server as they are, and are resized only to be shown as the source is. */
const graph = {
  '1': { class_type: 'LoadVideo', inputs: { file: 'input.mp4' } },
  '5': { class_type: 'GetVideoComponents', inputs: { video: ['1', 0] } },
  '6': { class_type: 'CreateVideo', inputs: { images: ['5', 0], fps: ['5', 2] } },
  '4': {
    class_type: 'SaveVideo',
    inputs: { video: ['6', 0], filename_prefix: 'x', format: 'auto', codec: 'auto' },
  },
};

const cases: readonly Case[] = [
  { file: 'cases/longaudio.mp4', size: [64, 48], frames: 20, input: { duration_seconds: 2 } },
  { file: 'cases/duration-unknown.mp4', size: [128, 96], frames: 10, input: { fps: 10 } },
  { file: 'cases/cut.mp4', size: [64, 48], frames: 42, input: { frames: 42, fps: 10 } },
  { file: 'cases/ts30.mp4', size: [64, 48], frames: 20, input: { duration_seconds: 2 } },
  { file: 'cases/sar.mp4', size: [86, 48], frames: 5, input: { width: 85, height: 48 } },
  { file: 'cases/sar.mp4', wish: { outscale: 2 }, size: [170, 96], frames: 5 },
  { file: 'cases/sar.mp4', wish: { output_dims: [64, 36] }, size: [64, 36], frames: 5 },
  { file: 'cases/twov.mkv', wish: { output_dims: [640, 360] }, size: [640, 360], frames: 30 },
  { file: 'cases/rot90.mp4', size: [48, 64], frames: 6, input: { width: 48, height: 64 } },
  { file: 'cases/rot90.mp4', wish: { output_dims: [96, 128] }, size: [96, 128], frames: 6 },
  { file: 'cases/hdr.mp4', size: [64, 48], frames: 5, input: { hdr: true, variable_rate: false } },
  { file: 'cases/x.3gp', size: [128, 96], frames: 10, input: { format: '3gp', hdr: false } },
  { file: 'clips/interlaced.m2ts', size: [64, 48], frames: 10, input: { interlaced: true } },
  { file: 'clips/variable.mp4', size: [64, 48], frames: 13, input: { variable_rate: true } },
];

/** A real server in place of the emulator. */
const { COMFYUI_URL: real } = process.env;

for (const engine of enginesAboveStores) {
  describe(`clips as a player shows them, on ${engine}`, () => {
    const cleanup = new AsyncDisposableStack();
    let sources: SourceServer;
    let gateway: TestGateway;

    before(async () => {
      const server = real ?? cleanup.use(await Emulator.start()).url;
      sources = cleanup.use(await SourceServer.start());
      const folder = await mkdtemp(join(tmpdir(), 'tmlsr-clips-'));
      cleanup.defer(() => rm(folder, { recursive: true, force: true }));
      await writeFile(join(folder, 'as_it_is.json'), JSON.stringify(graph));
      await writeFile(join(folder, 'as_it_is.meta.json'), '{"type": "video", "scale": 1}');
      gateway = cleanup.use(
        await TestGateway.start({
          engine,
          backends: [server],
          // A result is looked at for as long as it takes: the machine is busy.
          tempo: { ...testTempo, media: realTempo.media },
          env: {
            SOURCE_ALLOW: sources.host,
            WORKFLOWS_DIR: folder,
            MAX_VIDEO_FRAMES: '100',
          },
        }),
      );
    });
    after(() => cleanup.disposeAsync());

    for (const { file, wish = {}, size, frames, input = {} } of cases) {
      it(`${file} ${JSON.stringify(wish)}`, async () => {
        const url = sources.file(file, await readFile(new URL(`media/${file}`, import.meta.url)));
        const id = await gateway.submit({ url, workflow: 'as_it_is', ...wish });
        const task = await gateway.until(id);
        assert.equal(task.status, 'completed', task.error ?? '');
        const { metadata } = task.output ?? {};
        assert.deepEqual([metadata.width, metadata.height, metadata.frames], [...size, frames]);
        assert.partialDeepStrictEqual(metadata.input, input);
        const internal = ['stored', 'rotation', 'isHdr', 'color', 'audioTracks'];
        assert.deepEqual(
          internal.filter((name) => name in metadata.input),
          [],
        );
      });
    }
  });
}
