import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { request } from 'undici';
import { Emulator } from '../src/emulator/emulator.ts';
import { findEdits, scan } from '../src/media/metadata/find-edits.ts';
import { editedSource } from '../src/pipeline/upload/edited-source.ts';
import { openBrowser } from './support/browser.ts';
import { showClip } from './support/clip-in-browser.ts';
import { SourceServer } from './support/source-server.ts';
import { TestGateway } from './support/test-gateway.ts';
import { createTestWorkflows, type TestWorkflows } from './support/test-workflows.ts';

/** `npm run test:colours` tries all there are; `COMFYUI_URL` has a real server make them. */
const triesAll = process.env.COLOURS === 'all';
const { COMFYUI_URL } = process.env;

const media = new URL('./media/', import.meta.url);
const bars = 4;
const painted = [
  [255, 0, 0],
  [0, 255, 0],
  [0, 0, 255],
  [199, 120, 44],
];
const { signal } = new AbortController();

/** Decodes a clip, enlarges its frames and writes them, as the shipped workflows do. */
const graph = {
  '1': { class_type: 'LoadVideo', inputs: { file: 'a.mp4' } },
  '2': { class_type: 'GetVideoComponents', inputs: { video: ['1', 0] } },
  '3': {
    class_type: 'CreateVideo',
    inputs: { images: ['2', 0], audio: ['2', 1], fps: ['2', 2] },
  },
  '4': {
    class_type: 'SaveVideo',
    inputs: { video: ['3', 0], filename_prefix: 'clip', format: 'auto', codec: 'auto' },
  },
};

describe('the colours of clips, in a browser', () => {
  const cleanup = new AsyncDisposableStack();
  let browser: Browser;
  let page: Page;
  let sources: SourceServer;
  let workflows: TestWorkflows;
  let gateway: TestGateway;

  before(async () => {
    browser = cleanup.use(await openBrowser());
    page = await browser.newPage();
    sources = cleanup.use(await SourceServer.start());
    workflows = cleanup.use(await createTestWorkflows(0.01));
    await workflows.write('plain', graph);
    const server = COMFYUI_URL ?? cleanup.use(await Emulator.start()).url;
    const env = { SOURCE_ALLOW: sources.host, WORKFLOWS_DIR: workflows.folder };
    gateway = cleanup.use(await TestGateway.start({ engine: 'pglite', backends: [server], env }));
  });
  after(() => cleanup.disposeAsync());

  /** What comes out of the workflow, with that many lines. */
  async function result(name: string, lines: number, wishes: object): Promise<Buffer> {
    const url = sources.file(name, await readFile(new URL(`cases/${name}`, media)));
    const output_dims = [(lines * 16) / 9, lines];
    const id = await gateway.submit({ url, workflow: 'plain', output_dims, ...wishes });
    const done = await gateway.until(id);
    assert.equal(done.status, 'completed', done.error ?? '');
    assert.equal(done.output?.metadata.height, lines);
    return Buffer.from(await (await request(done.output?.url ?? '')).body.arrayBuffer());
  }

  for (const [name, wanted] of [
    ['bars709-180.mp4', painted],
    // Read by BT.601, the purest colours of this one do not fit into a picture: a server cuts them off.
    ['untagged-hd.mp4', [null, null, null, [199, 120, 44]]],
  ] as const) {
    for (const lines of triesAll ? [180, 720, 2160] : [720]) {
      for (const keep_metadata of triesAll ? [false, true] : [false]) {
        const kept = keep_metadata ? ', its graph kept' : '';
        it(`shows ${name} with ${lines} lines as it was${kept}`, async () => {
          const clip = await result(name, lines, { keep_metadata });
          assert.equal(clip.includes('class_type'), keep_metadata);
          const shown = await showClip(page, clip, 'video/mp4', bars);
          assert.equal(shown.height, lines);
          alike(shown.colours, wanted);
        });
      }
    }
  }

  for (const codec of ['h264', 'h264-10-bit', 'vp9', 'av1-10-bit']) {
    for (const lines of triesAll ? [180, 720, 2160] : [720]) {
      it(`shows what ComfyUI writes as ${codec} with ${lines} lines`, async () => {
        const format = codec.startsWith('h264') ? 'mp4' : 'webm';
        const clip = await readFile(new URL(`made/${codec}-${lines}.${format}`, media));
        const shown = await showClip(page, await told(clip, format), `video/${format}`, bars);
        alike(shown.colours, painted);
      });
    }
  }
});

/** The clip with the tag that is true of it. */
async function told(bytes: Buffer, format: 'mp4' | 'webm'): Promise<Buffer> {
  const tag = { primaries: 1, transfer: 1, matrix: 6 };
  const colour = { ifMatrixIsRead: tag, ifMatrixIsIgnored: tag };
  const read = async (from: number, to: number) => bytes.subarray(from, to);
  const file = scan({ size: bytes.length, read }, signal);
  const edits = await findEdits(file, format, { keepsMetadata: false, colour });
  const open = async (range: { start: number; end: number } | null) =>
    Readable.from([range ? bytes.subarray(range.start, range.end + 1) : bytes]);
  const source = editedSource({ size: bytes.length, open }, edits);
  return Buffer.concat(await (await source.open(null, signal)).toArray());
}

type Colours = readonly (readonly number[] | null)[];

function alike(shown: Colours, wanted: Colours): void {
  for (const [bar, colour] of wanted.entries()) {
    for (const [channel, value] of (colour ?? []).entries()) {
      const gap = Math.abs((shown[bar]?.[channel] ?? -1_000) - value);
      assert.ok(gap <= 4, `bar ${bar}: ${shown[bar]}, not ${colour}`);
    }
  }
}
