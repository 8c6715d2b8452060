import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type NodeCatalogue, shortcomings } from './capabilities.ts';
import type { Graph } from './workflow.ts';

const anything = { options: new Map<string, readonly string[]>() };
const catalogue: NodeCatalogue = new Map([
  ['LoadImage', { options: new Map([['image', ['in stock.png']]]) }],
  ['UpscaleModelLoader', { options: new Map([['model_name', ['RealESRGAN_x2plus.pth']]]) }],
  ['ImageUpscaleWithModel', anything],
  ['ImageScaleBy', { options: new Map([['upscale_method', ['bicubic', 'lanczos']]]) }],
  ['CheckpointLoader', { options: new Map([['ckpt_name', []]]) }],
  ['SaveImage', anything],
]);

const graph: Graph = {
  '1': { class_type: 'LoadImage', inputs: { image: 'a placeholder.png' } },
  '2': { class_type: 'UpscaleModelLoader', inputs: { model_name: 'RealESRGAN_x2plus.pth' } },
  '3': {
    class_type: 'ImageUpscaleWithModel',
    inputs: { upscale_model: ['2', 0], image: ['1', 0] },
  },
  '4': { class_type: 'SaveImage', inputs: { images: ['3', 0], filename_prefix: 'x' } },
};

interface Case {
  readonly it: string;
  readonly nodes: Graph;
  readonly reasons: readonly string[];
}

const cases: readonly Case[] = [
  {
    it: 'has nothing to say of a server that has all nodes and models',
    nodes: {},
    reasons: [],
  },
  {
    it: 'names a class that is missing, once',
    nodes: {
      '5': { class_type: 'SeedVR2VideoUpscaler', inputs: { image: ['3', 0], dit: 'x' } },
      '6': { class_type: 'SeedVR2VideoUpscaler', inputs: { image: ['5', 0] } },
    },
    reasons: ['It has no node class SeedVR2VideoUpscaler'],
  },
  {
    it: 'names a model that is missing, with its node',
    nodes: {
      '2': { class_type: 'UpscaleModelLoader', inputs: { model_name: 'RealESRGAN_x4plus.pth' } },
    },
    reasons: ['UpscaleModelLoader (node 2) has no model_name "RealESRGAN_x4plus.pth"'],
  },
  {
    it: 'takes an empty list for a folder without models',
    nodes: { '5': { class_type: 'CheckpointLoader', inputs: { ckpt_name: 'sd.safetensors' } } },
    reasons: ['CheckpointLoader (node 5) has no ckpt_name "sd.safetensors"'],
  },
  {
    it: 'looks at every loader but the one that reads the task’s input',
    nodes: { '5': { class_type: 'LoadImage', inputs: { image: 'logo.png' } } },
    reasons: ['LoadImage (node 5) has no image "logo.png"'],
  },
  {
    it: 'leaves links, numbers, unknown inputs and inputs without a list alone',
    nodes: {
      '5': {
        class_type: 'ImageScaleBy',
        inputs: { upscale_method: ['2', 0], scale_by: 0.5, note: 'free text' },
      },
    },
    reasons: [],
  },
  {
    it: 'tells everything at once',
    nodes: {
      '5': { class_type: 'Absent', inputs: {} },
      '6': { class_type: 'ImageScaleBy', inputs: { upscale_method: 'magic' } },
    },
    reasons: ['It has no node class Absent', 'ImageScaleBy (node 6) has no upscale_method "magic"'],
  },
];

describe('shortcomings', () => {
  for (const { it: sentence, nodes, reasons } of cases) {
    it(sentence, () => {
      const workflow = { graph: { ...graph, ...nodes }, input: { node: '1', field: 'image' } };
      assert.deepEqual(shortcomings(workflow, catalogue), reasons);
    });
  }
});
