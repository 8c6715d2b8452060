import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { nodeCatalogue } from '../comfyui/messages.ts';
import { shortcomings } from './capabilities.ts';
import { checkGraph } from './check-graph.ts';
import type { Graph, GraphNode } from './graph.ts';
import type { Workflow } from './workflow.ts';

const catalogue = nodeCatalogue({
  LoadImage: {
    input: { required: { image: [['in stock.png'], { image_upload: true }] } },
    output: ['IMAGE', 'MASK'],
  },
  UpscaleModelLoader: {
    input: {
      required: {
        model_name: [['RealESRGAN_x2plus.pth', 'RealESRGAN_x4plus_anime_6B.pth', 'sharp.pth']],
      },
    },
    output: ['UPSCALE_MODEL'],
  },
  ImageUpscaleWithModel: {
    input: { required: { upscale_model: ['UPSCALE_MODEL'], image: ['IMAGE'] } },
    output: ['IMAGE'],
  },
  ImageScaleBy: {
    input: {
      required: {
        image: ['IMAGE'],
        upscale_method: [['bicubic', 'lanczos']],
        scale_by: ['FLOAT', { min: 0.01, max: 8 }],
      },
      optional: { steps: ['INT', { min: 1, max: 10 }] },
    },
    output: ['IMAGE'],
  },
  Levels: { input: { required: { level: ['COMBO', { options: [1, 2] }] } }, output: ['INT,FLOAT'] },
  Tags: { input: { required: { tags: [['a', 'b'], { multiselect: true }] } }, output: ['STRING'] },
  Switch: { input: { required: { any: ['*'], same: ['COMFY_MATCHTYPE_V3'] } }, output: ['*'] },
  Growing: {
    input: { required: { images: ['COMFY_AUTOGROW_V3', { template: {} }] } },
    output: ['IMAGE'],
  },
  CustomCombo: { input: { required: { choice: ['COMBO', { options: [] }] } }, output: ['STRING'] },
  VHS_LoadVideo: { input: {}, output: ['IMAGE', 'INT'] },
  VAEDecode: { input: { required: { samples: ['LATENT'] } }, output: ['IMAGE'] },
  SaveImage: {
    input: { required: { images: ['IMAGE'], filename_prefix: ['STRING'] } },
    output: [],
    output_node: true,
  },
});

const node = (
  class_type: string,
  inputs: Readonly<Record<string, unknown>>,
  title?: string,
): GraphNode => ({ class_type, inputs, ...(title === undefined ? {} : { _meta: { title } }) });

const graph: Graph = {
  '1': node('LoadImage', { image: 'a placeholder.png' }),
  '2': node('UpscaleModelLoader', { model_name: 'RealESRGAN_x2plus.pth' }),
  '3': node('ImageUpscaleWithModel', { upscale_model: ['2', 0], image: ['1', 0] }),
  '5': node('ImageScaleBy', { image: ['3', 0], upscale_method: 'lanczos', scale_by: 0.5 }),
  '4': node('SaveImage', { images: ['5', 0], filename_prefix: 'x' }),
};

type Judged = Pick<Workflow, 'graph' | 'inputs' | 'outputs' | 'parameters'>;

const workflowOf = (nodes: Graph, rest: Partial<Judged> = {}): Judged => ({
  graph: nodes,
  inputs: [
    {
      name: 'image',
      kind: 'image',
      slot: { node: '1', field: 'image' },
      isRequired: true,
      description: null,
    },
  ],
  outputs: [
    { name: 'result', kind: 'image', node: '4', prefixField: 'filename_prefix', pictures: null },
  ],
  parameters: [],
  ...rest,
});

/** Node 5 with other inputs. */
const scaled = (inputs: Readonly<Record<string, unknown>>): Graph => ({
  '5': node('ImageScaleBy', { ...graph['5']?.inputs, ...inputs }),
});

interface Case {
  readonly it: string;
  readonly nodes: Graph;
  readonly reasons: readonly string[];
}

const cases: readonly Case[] = [
  { it: 'has nothing to say of a server that has everything', nodes: {}, reasons: [] },
  {
    it: 'names a class that is missing, once, wherever it stands',
    nodes: {
      '6': node('SeedVR2VideoUpscaler', { image: ['3', 0], dit: 'x' }),
      '7': node('SeedVR2VideoUpscaler', { image: ['6', 0] }),
    },
    reasons: ['It has no node class SeedVR2VideoUpscaler'],
  },
  {
    it: 'names a model that is missing, with its node and what is like it',
    nodes: {
      '2': node('UpscaleModelLoader', { model_name: 'RealESRGAN_x4plus.pth' }, 'the model'),
    },
    reasons: [
      'UpscaleModelLoader (node 2, "the model") has no model_name "RealESRGAN_x4plus.pth"; it has "RealESRGAN_x2plus.pth", "RealESRGAN_x4plus_anime_6B.pth"',
    ],
  },
  {
    it: 'passes over what no result needs',
    nodes: {
      '6': node('UpscaleModelLoader', { model_name: 'x.pth' }),
      '7': node('SaveImage', {}),
    },
    reasons: [],
  },
  {
    it: 'follows no link of an input that the class does not have',
    nodes: {
      '6': node('UpscaleModelLoader', { model_name: 'x.pth' }),
      '1': node('LoadImage', { image: 'a.png', note: ['6', 0] }),
    },
    reasons: [],
  },
  {
    it: 'looks at everything but the files that a task brings',
    nodes: { '3': node('Tags', { tags: 'c' }), ...scaled({ image: ['1', 0], steps: ['3', 0] }) },
    reasons: [
      'Tags (node 3) has no tags "c"',
      'ImageScaleBy (node 5) needs INT as its steps, but Tags (node 3) gives STRING',
    ],
  },
  {
    it: 'names an input that is missing',
    nodes: { '3': node('ImageUpscaleWithModel', { upscale_model: ['2', 0] }) },
    reasons: ['ImageUpscaleWithModel (node 3) lacks its input image'],
  },
  {
    it: 'names numbers that are out of range',
    nodes: scaled({ scale_by: 9, steps: 0 }),
    reasons: [
      'ImageScaleBy (node 5) has scale_by 9, more than 8',
      'ImageScaleBy (node 5) has steps 0, less than 1',
    ],
  },
  {
    it: 'names what is no number',
    nodes: scaled({ scale_by: 'wide', steps: '3.7' }),
    reasons: [
      'ImageScaleBy (node 5) needs a number (FLOAT) as its scale_by, not "wide"',
      'ImageScaleBy (node 5) needs a number (INT) as its steps, not "3.7"',
    ],
  },
  {
    it: 'takes what ComfyUI converts',
    nodes: scaled({ scale_by: ' 1_0e-1 ', steps: 10.9 }),
    reasons: [],
  },
  {
    it: 'takes infinity for the number that it is, and what is no number for any',
    nodes: scaled({ scale_by: 'Infinity' }),
    reasons: ['ImageScaleBy (node 5) has scale_by Infinity, more than 8'],
  },
  { it: 'finds nothing wrong with nan', nodes: scaled({ scale_by: 'nan' }), reasons: [] },
  {
    it: 'takes an empty wish for no number',
    nodes: scaled({ steps: null }),
    reasons: ['ImageScaleBy (node 5) needs a number (INT) as its steps, not null'],
  },
  {
    it: 'names links that lead to what is not there',
    nodes: {
      '3': node('ImageUpscaleWithModel', { upscale_model: ['2'], image: ['1', 2] }),
    },
    reasons: [
      'ImageUpscaleWithModel (node 3) has a link to nowhere as its upscale_model',
      'ImageUpscaleWithModel (node 3) takes its image from output 2 of LoadImage (node 1), which has 2',
    ],
  },
  {
    it: 'names links whose types do not fit',
    nodes: { '3': node('ImageUpscaleWithModel', { upscale_model: ['1', 1], image: ['1', 0] }) },
    reasons: [
      'ImageUpscaleWithModel (node 3) needs UPSCALE_MODEL as its upscale_model, but LoadImage (node 1) gives MASK',
    ],
  },
  {
    it: 'takes one type in common, and types that take anything',
    nodes: {
      '6': node('Levels', { level: 2 }),
      '7': node('Switch', { any: ['2', 0], same: ['1', 1] }),
      ...scaled({ image: ['7', 3], steps: ['6', 0] }),
    },
    reasons: [],
  },
  {
    it: 'knows that Video Helper Suite gives pictures where latents are wanted',
    nodes: {
      '6': node('VHS_LoadVideo', {}),
      '7': node('VAEDecode', { samples: ['6', 0] }),
      ...scaled({ image: ['7', 0] }),
    },
    reasons: [],
  },
  {
    it: 'compares choices as Python does',
    nodes: {
      '6': node('Levels', { level: true }),
      '7': node('Tags', { tags: { __value__: ['a', 'c'] } }),
      '8': node('Switch', { any: ['6', 0], same: ['7', 0] }),
      ...scaled({ image: ['8', 0] }),
    },
    reasons: ['Tags (node 7) has no tags "c"'],
  },
  {
    it: 'leaves alone what a node looks at itself, and inputs that stand for others',
    nodes: {
      '6': node('CustomCombo', { choice: 'mine' }),
      '7': node('Growing', { 'images.image0': ['1', 0] }),
      '8': node('Switch', { any: ['6', 0], same: ['7', 0] }),
      ...scaled({ image: ['8', 0] }),
    },
    reasons: [],
  },
  {
    it: 'names a result that no output node needs',
    nodes: { '4': node('ImageScaleBy', { ...graph['5']?.inputs }) },
    reasons: ['ImageScaleBy (node 4) would not run: it is no output node, and none needs it'],
  },
];

describe('shortcomings', () => {
  for (const { it: sentence, nodes, reasons } of cases) {
    it(sentence, () => {
      assert.deepEqual(shortcomings(workflowOf({ ...graph, ...nodes }), catalogue), reasons);
    });
  }

  it('judges what its operator put in place of the graph’s values', () => {
    const parameter = {
      name: 'model',
      slots: [{ node: '2', field: 'model_name' }],
      schema: null,
      description: null,
      default: 'other.pth',
      isSeed: false,
    };
    assert.deepEqual(shortcomings(workflowOf(graph, { parameters: [parameter] }), catalogue), [
      'UpscaleModelLoader (node 2) has no model_name "other.pth"',
    ]);
  });
});

describe('shortcomings beside what a real server answered', async () => {
  const folder = new URL('../emulator/object-info/', import.meta.url);
  const described: Record<string, unknown> = {};
  for (const file of await readdir(folder)) {
    described[file.replace('.json', '')] = JSON.parse(
      await readFile(new URL(file, folder), 'utf8'),
    );
  }
  const recorded = JSON.parse(
    await readFile(
      new URL('../../test/recordings/prompt-validation.json', import.meta.url),
      'utf8',
    ),
  ) as readonly {
    case: string;
    status: number;
    request?: { prompt?: unknown };
    response: { node_errors?: object };
  }[];
  /** Only a look at the server's files tells. */
  const isOfFiles = /LoadImage of a missing file|no output node/;
  /** A server of those days found out when the node ran; a newer one refuses the prompt. */
  const isFoundLate = /V3 combo value not in list/;
  /** The gateway gives what such a graph lacks: its default. */
  const isFilled = /^missing required input$|^one good output, one bad output/;
  const judged = recorded.filter(
    ({ case: name, request }) => !isOfFiles.test(name) && isGraph(request?.prompt),
  );
  assert.ok(judged.length >= 16);
  for (const { case: name, status, request, response } of judged) {
    it(`${name}: ${status}`, () => {
      const nodes = request?.prompt as Graph;
      const outputs = Object.keys(nodes)
        .filter((id) => nodes[id]?.class_type === 'SaveImage')
        .map((id) => ({
          name: 'result',
          kind: 'image' as const,
          node: id,
          prefixField: null,
          pictures: null,
        }));
      const reasons = shortcomings(workflowOf(nodes, { outputs }), nodeCatalogue(described));
      const isTaken = status === 200 && Object.keys(response.node_errors ?? {}).length === 0;
      const isFine = isFilled.test(name) || (isTaken && !isFoundLate.test(name));
      assert.equal(reasons.length, isFine ? 0 : 1, reasons.join('\n'));
    });
  }
});

function isGraph(prompt: unknown): boolean {
  try {
    checkGraph(prompt);
    return true;
  } catch {
    return false;
  }
}
