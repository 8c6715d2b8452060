import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planClip } from './made-clip.ts';
import type { ImageInfo, VideoColor, VideoInfo } from './media.ts';

const source: VideoInfo = {
  kind: 'video',
  format: 'mp4',
  width: 320,
  height: 180,
  durationSeconds: 2,
  fps: 24,
  frames: 48,
  codec: 'avc',
  hasAudio: false,
};
const hd = { ...source, width: 1280, height: 720 };
const tagged = (primaries: number, transfer: number, matrix: number): VideoColor => ({
  primaries,
  transfer,
  matrix,
  isFullRange: false,
});

function workflow(
  between: Record<string, string> = {},
  loader = 'LoadVideo',
  writer = 'SaveVideo',
) {
  const nodes = Object.entries({ components: 'GetVideoComponents', ...between });
  const fields: Record<string, string> = { GetVideoComponents: 'video', Unknown: 'image' };
  let last = 'load';
  const graph: Record<string, { class_type: string; inputs: Record<string, unknown> }> = {
    load: { class_type: loader, inputs: {} },
  };
  for (const [id, class_type] of nodes) {
    graph[id] = { class_type, inputs: { [fields[class_type] ?? 'image']: [last, 0] } };
    last = id;
  }
  graph.make = { class_type: 'CreateVideo', inputs: { images: [last, 0] } };
  graph.save = { class_type: writer, inputs: { video: ['make', 0] } };
  const input = { name: 'video', kind: 'video', slot: { node: 'load', field: 'file' } } as const;
  return { graph, inputs: [{ ...input, isRequired: true, description: null }] };
}

const made = { node: 'save', pictures: { node: 'make', field: 'images' } };

function colour(input: VideoInfo | ImageInfo | null, from = workflow()) {
  const { colour } = planClip(input, from, made);
  const parts = ({
    primaries,
    transfer,
    matrix,
  }: {
    primaries: number;
    transfer: number;
    matrix: number;
  }) => [primaries, transfer, matrix].join('/');
  return colour && [parts(colour.ifMatrixIsRead), parts(colour.ifMatrixIsIgnored)];
}

test('a clip that is made by BT.601 is tagged as what it is', () => {
  const bt709 = { ...source, color: tagged(1, 1, 1) };
  assert.deepEqual(colour(bt709), ['1/1/6', '1/1/1']);
  assert.deepEqual(colour({ ...hd, color: tagged(6, 6, 6) }), ['6/6/6', '6/6/6']);
  assert.deepEqual(colour({ ...hd, color: tagged(2, 2, 1) }), ['1/1/6', '1/1/1']);
  assert.deepEqual(colour({ ...hd, color: tagged(9, 16, 9) }), ['9/16/6', '9/16/9']);
});

test('a source that does not tell is taken for what a browser takes it for', () => {
  assert.deepEqual(colour(source), ['1/1/6', '1/1/6']);
  assert.deepEqual(colour(hd), ['1/1/1', '1/1/1']);
  assert.deepEqual(colour({ ...hd, color: tagged(1, 1, 2) }), ['1/1/1', '1/1/1']);
  assert.deepEqual(colour({ ...hd, codec: 'vp9' }), ['1/1/6', '1/1/6']);
  // The browser looks at it before it is turned.
  const upright = { ...source, width: 406, height: 722, stored: { width: 722, height: 406 } };
  assert.deepEqual(colour(upright), ['1/1/6', '1/1/6']);
});

test('pictures of no clip have the colours of pictures', () => {
  const image: ImageInfo = { kind: 'image', format: 'png', width: 2_000, height: 1_000 };
  assert.deepEqual(colour(image), ['1/1/6', '1/1/6']);
  assert.deepEqual(colour(null), ['1/1/6', '1/1/6']);
});

test('a node that nobody knows may have mapped the tones', () => {
  const hdr = { ...hd, color: tagged(9, 16, 9) };
  assert.deepEqual(colour(hdr, workflow({ tones: 'Unknown' })), ['1/1/6', '1/1/9']);
});

test('a clip that others write, or that is passed on, is left as it is', () => {
  const bt709 = { ...hd, color: tagged(1, 1, 1) };
  assert.equal(colour(bt709, workflow({}, 'LoadVideo', 'VHS_VideoCombine')), null);
  assert.equal(colour(bt709, workflow({}, 'VHS_LoadVideo')), null);
  assert.equal(planClip(bt709, workflow(), { ...made, pictures: null }).colour, null);
});

test('the frames are those of the source where every node on the way gives them on', () => {
  const frames = (between: Record<string, string>) =>
    planClip(source, workflow(between), made).frames;
  assert.equal(frames({}), 48);
  assert.equal(frames({ a: 'ImageUpscaleWithModel', b: 'ImageScale' }), 48);
  assert.equal(frames({ a: 'ImageUpscaleWithModel', b: 'Unknown' }), null);
  assert.equal(planClip({ ...source, frames: null }, workflow(), made).frames, null);
  const { graph, ...rest } = workflow({ a: 'ImageScale', b: 'ImageScale' });
  const round = { ...graph, a: { class_type: 'ImageScale', inputs: { image: ['b', 0] } } };
  assert.equal(planClip(source, { ...rest, graph: round }, made).frames, null);
});
