import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ErrorCode, GatewayError } from './errors.ts';
import type { Graph, GraphNode } from './graph.ts';
import type { ImageInfo, MediaKind, VideoInfo } from './media.ts';
import { plannedSize, planSize, type SizePlan, sizeAsTheWorkflowGives } from './size-plan.ts';
import type { Parameter } from './workflow.ts';

const image: ImageInfo = { kind: 'image', format: 'png', width: 301, height: 200 };
const video: VideoInfo = {
  kind: 'video',
  format: 'mp4',
  width: 301,
  height: 200,
  durationSeconds: 1,
  fps: 25,
  frames: 25,
  codec: 'avc',
  hasAudio: false,
};
const evenVideo: VideoInfo = { ...video, width: 640, height: 360 };
const none = sizeAsTheWorkflowGives;

const asItIs = { custom_width: 0, custom_height: 0 };

/** What the graph makes of its source is known by `scale`, or not at all. */
function esrgan(kind: MediaKind, scale: number | null, pictures: 'found' | 'not found' = 'found') {
  const graph: Graph = {
    load: { class_type: kind === 'image' ? 'LoadImage' : 'VHS_LoadVideo', inputs: asItIs },
    model: { class_type: 'ImageUpscaleWithModel', inputs: { image: ['load', 0] } },
    save: { class_type: 'SaveImage', inputs: { images: ['model', 0] } },
  };
  const slot = pictures === 'found' ? { node: 'save', field: 'images' } : null;
  return sizing(kind, { graph, scale, pictures: slot });
}

/** What the graph makes of its source follows from `resolution`. */
function seedVr2(kind: MediaKind, maxResolution = 0, parameters: Parameter[] = []) {
  const inputs = { image: ['load', 0], resolution: 1080, max_resolution: maxResolution };
  const graph: Graph = {
    load: { class_type: kind === 'image' ? 'LoadImage' : 'VHS_LoadVideo', inputs: asItIs },
    model: { class_type: 'SeedVR2VideoUpscaler', inputs },
    save: { class_type: 'SaveImage', inputs: { images: ['model', 0] } },
  };
  const pictures = { node: 'save', field: 'images' };
  const resolution = { node: 'model', field: 'resolution' };
  return { ...sizing(kind, { graph, scale: null, pictures }), resolution, parameters };
}

/** Four times as large, saved by such a node. */
function saved(class_type: string, inputs: GraphNode['inputs'] = {}) {
  const sizing = esrgan('video', 4);
  const save = { class_type, inputs: { ...sizing.graph.save?.inputs, ...inputs } };
  return { ...sizing, graph: { ...sizing.graph, save } };
}

function sizing(
  kind: MediaKind,
  { graph, scale, pictures }: { graph: Graph; scale: number | null; pictures: Slot | null },
) {
  const output = { name: 'output', kind, node: 'save', prefixField: 'filename_prefix', pictures };
  const slot = { node: 'load', field: 'image' };
  const input = { name: 'input', kind, slot, isRequired: true, description: null };
  return {
    kind,
    scale,
    graph,
    resolution: null,
    inputs: [input],
    outputs: [output],
    parameters: [],
  };
}

interface Slot {
  readonly node: string;
  readonly field: string;
}

const byWorkflow: SizePlan = { by: 'workflow' };

function resized(width: number, height: number, resolution: number | null = null): SizePlan {
  return { by: 'graph', resolution, resize: { width, height } };
}

function byResolution(resolution: number): SizePlan {
  return { by: 'graph', resolution, resize: null };
}

function byGateway(width: number, height: number): SizePlan {
  return { by: 'gateway', resolution: null, size: { width, height } };
}

function dims(width: number, height: number) {
  return { ...none, dims: { width, height } };
}

describe('planSize', () => {
  const cases = [
    // Nothing asked for.
    ['leaves the size to the workflow when none is asked for', image, esrgan('image', 4), none],
    ['leaves it too where there is no source', null, esrgan('image', null), none],
    ['leaves the even sides of a video alone', evenVideo, esrgan('video', 1), none],
    ['leaves the sides of a video alone that are not known', video, esrgan('video', null), none],
    ['leaves SeedVR2, which makes even sides, alone', video, seedVr2('video'), none],
    [
      'makes the odd sides of a video even that no encoder would take',
      video,
      esrgan('video', 1),
      none,
      resized(302, 200),
    ],
    ['leaves the odd sides of an image alone', image, esrgan('image', 1), none],

    [
      'leaves what the model makes by itself, however wide',
      { ...image, width: 8200 },
      esrgan('image', 2),
      { ...none, outscale: 2 },
    ],

    // Which of the three wins.
    [
      'multiplies by outscale',
      image,
      esrgan('image', 4),
      { ...none, outscale: 2 },
      resized(602, 400),
    ],
    [
      'lets the magnification win over outscale',
      image,
      esrgan('image', 4),
      { ...none, outscale: 4, magnification: 1.5 },
      resized(452, 300),
    ],
    [
      'lets exact dimensions win over both',
      image,
      esrgan('image', 4),
      { outscale: 4, magnification: 1.5, dims: { width: 37, height: 41 } },
      resized(37, 41),
    ],
    [
      'never plans an empty side',
      image,
      esrgan('image', 4),
      { ...none, outscale: 0.001 },
      resized(1, 1),
    ],

    // The size that the graph makes anyway.
    [
      'resizes nothing that has the size already, by its scale',
      image,
      esrgan('image', 4),
      { ...none, outscale: 4 },
    ],
    [
      'resizes nothing that has exact dimensions already',
      image,
      esrgan('image', 4),
      dims(1204, 800),
    ],
    [
      'resizes where the scale is not known, be it in vain',
      image,
      esrgan('image', null),
      { ...none, outscale: 4 },
      resized(1204, 800),
    ],
    [
      'resizes where the model may round as it likes',
      image,
      esrgan('image', 1.5),
      { ...none, outscale: 1.5 },
      resized(452, 300),
    ],
    ['takes one-scale restoration as it is', image, esrgan('image', 1), { ...none, outscale: 1 }],

    // Videos.
    [
      'makes the sides of a video even',
      video,
      esrgan('video', 2),
      { ...none, magnification: 1.5 },
      resized(452, 300),
    ],
    [
      'makes the asked dimensions of a video even',
      video,
      esrgan('video', 2),
      dims(37, 41),
      resized(38, 42),
    ],
    [
      'gives a video two pixels a side at least',
      video,
      esrgan('video', 2),
      { ...none, outscale: 0.001 },
      resized(2, 2),
    ],
    ['resizes no video that has the size already', video, esrgan('video', 2), dims(602, 400)],

    // Graphs with a resolution.
    [
      'asks SeedVR2 for the shorter side, and resizes nothing when the longer one follows',
      evenVideo,
      seedVr2('video'),
      { ...none, outscale: 3 },
      byResolution(1080),
    ],
    [
      'resizes after SeedVR2 where the aspect ratio changes',
      evenVideo,
      seedVr2('video'),
      dims(1000, 1000),
      resized(1000, 1000, 1000),
    ],
    [
      'asks SeedVR2 for even lengths, rounded up, and resizes the rest',
      image,
      seedVr2('image'),
      dims(301, 201),
      resized(301, 201, 202),
    ],
    [
      'resizes where SeedVR2 cuts an odd pixel off',
      image,
      seedVr2('image'),
      { ...none, magnification: 1 },
      resized(301, 200, 200),
    ],
    [
      'asks SeedVR2 for no less than it can make',
      image,
      seedVr2('image'),
      dims(12, 8),
      resized(12, 8, 16),
    ],
    [
      "keeps to the operator's limit and resizes what is missing",
      evenVideo,
      seedVr2('video', 1280),
      { ...none, outscale: 4 },
      resized(2560, 1440, 1440),
    ],
    [
      'upscales by outscale and resizes to the magnification',
      evenVideo,
      seedVr2('video'),
      { ...none, outscale: 4, magnification: 1.5 },
      resized(960, 540, 1440),
    ],

    // No source, no place.
    [
      'gives exact dimensions without a source',
      null,
      esrgan('image', null),
      dims(64, 64),
      resized(64, 64),
    ],
    [
      'lets the gateway resize an image where the graph has no place for it',
      image,
      esrgan('image', 4, 'not found'),
      { ...none, outscale: 2 },
      byGateway(602, 400),
    ],
    [
      'lets nobody resize such an image that has the size already',
      image,
      esrgan('image', 4, 'not found'),
      { ...none, outscale: 4 },
    ],
    [
      'cannot mend the odd sides of a video where the graph has no place for it',
      video,
      esrgan('video', 1, 'not found'),
      none,
    ],
  ] as const;
  for (const [name, source, workflow, request, expected = byWorkflow] of cases) {
    it(name, () => assert.deepEqual(planSize(source, workflow, request), expected));
  }

  it('tells no size from a value that the task may choose itself', () => {
    const slots = [{ node: 'model', field: 'max_resolution' }];
    const chosen = { name: 'limit', slots, schema: null, description: null, default: 0 };
    const workflow = seedVr2('video', 0, [{ ...chosen, isSeed: false }]);
    const plan = planSize(evenVideo, workflow, { ...none, outscale: 3 });
    assert.deepEqual(plan, resized(1920, 1080, 1080));
  });

  it('plans by the kind of the result, not of the source', () => {
    const workflow = esrgan('video', 1);
    assert.deepEqual(planSize(image, workflow, { ...none, outscale: 1 }), resized(302, 200));
  });

  it('puts no limit of ImageScale upon what the model makes', () => {
    const wide = { ...image, width: 8200, height: 8 };
    const plan = planSize(wide, esrgan('image', 2), { ...none, outscale: 2 });
    assert.deepEqual(plan, byWorkflow);
    assert.deepEqual(plannedSize(wide, esrgan('image', 2), plan), { width: 16_400, height: 16 });
  });

  const stored = { width: 64, height: 48 };
  const anamorphic: VideoInfo = { ...video, width: 85, height: 48, stored, rotation: 0 };
  const onItsSide: VideoInfo = { ...video, width: 48, height: 64, stored, rotation: 270 };
  const both: VideoInfo = { ...video, width: 48, height: 85, stored, rotation: 90 };
  const shapes = [
    ['an anamorphic clip its shape', anamorphic, esrgan('video', 2), none, resized(170, 96)],
    [
      'an anamorphic clip the factor',
      anamorphic,
      esrgan('video', 2),
      { ...none, outscale: 2 },
      resized(170, 96),
    ],
    [
      'an anamorphic clip the exact size',
      anamorphic,
      esrgan('video', 2),
      dims(128, 96),
      byWorkflow,
    ],
    ['a clip of SeedVR2 its shape', anamorphic, seedVr2('video'), none, resized(1912, 1080)],
    ['a turned clip what the model makes', onItsSide, esrgan('video', 2), none, byWorkflow],
    ['a turned clip the exact size', onItsSide, esrgan('video', 2), dims(96, 128), byWorkflow],
    ['a turned clip of SeedVR2 what it makes', onItsSide, seedVr2('video'), none, byWorkflow],
    ['a clip that is both its shape', both, esrgan('video', 2), none, resized(96, 170)],
    [
      'VP9 its odd sides',
      evenVideo,
      saved('SaveWEBM', { codec: 'vp9' }),
      dims(101, 77),
      resized(101, 77),
    ],
    [
      'AV1 its odd sides',
      evenVideo,
      saved('SaveWEBM', { codec: 'av1' }),
      dims(101, 77),
      resized(101, 77),
    ],
    ['H.264 even sides', evenVideo, saved('SaveVideo'), dims(101, 77), resized(102, 78)],
    [
      'other encoders even sides',
      evenVideo,
      saved('VHS_VideoCombine'),
      dims(101, 77),
      resized(102, 78),
    ],
  ] as const satisfies readonly (readonly unknown[])[];
  for (const [name, source, workflow, request, plan] of shapes) {
    it(`gives ${name}`, () => assert.deepEqual(planSize(source, workflow, request), plan));
  }

  const refusals = [
    [
      'a resize to a side that ImageScale does not take',
      { ...image, width: 5000 },
      esrgan('image', 4),
      { ...none, outscale: 3.5 },
      'media_too_large',
    ],
    [
      'a side that no H.264 encoder takes, also one that nobody asked for',
      { ...evenVideo, width: 5000 },
      saved('SaveVideo'),
      none,
      'media_too_large',
    ],
    [
      'a height that the AV1 encoder does not take',
      evenVideo,
      saved('SaveWEBM', { codec: 'av1' }),
      dims(64, 9000),
      'media_too_large',
    ],
    [
      'a scale that would make the model work on more than that',
      { ...image, width: 5000 },
      seedVr2('image'),
      { ...none, outscale: 4, magnification: 1 },
      'media_too_large',
    ],
    [
      'a factor of nothing',
      null,
      esrgan('image', null),
      { ...none, magnification: 2 },
      'invalid_request',
    ],
    [
      'a size of a video where the graph has no place for it',
      video,
      esrgan('video', 2, 'not found'),
      dims(64, 64),
      'invalid_request',
    ],
  ] as const satisfies readonly (readonly unknown[])[];
  for (const [name, source, workflow, request, code] of refusals) {
    it(`refuses ${name}`, () => {
      assert.throws(() => planSize(source, workflow, request), isError(code));
    });
  }
});

function isError(code: ErrorCode): (error: unknown) => boolean {
  return (error) => error instanceof GatewayError && error.code === code;
}
