import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { GatewayError } from './errors.ts';
import { bind, describeGraph, type Graph, type Workflow } from './workflow.ts';

const image: Graph = {
  '1': { class_type: 'LoadImage', inputs: { image: 'a.png' } },
  '7': { class_type: 'ImageInvert', inputs: { image: ['1', 0] } },
  '4': { class_type: 'SaveImage', inputs: { images: ['7', 0], filename_prefix: 'x' } },
};
const video: Graph = {
  '1': { class_type: 'LoadVideo', inputs: { file: 'a.mp4' } },
  '5': { class_type: 'GetVideoComponents', inputs: { video: ['1', 0] } },
  '6': { class_type: 'CreateVideo', inputs: { images: ['5', 0], fps: ['5', 2] } },
  '4': { class_type: 'SaveVideo', inputs: { video: ['6', 0], filename_prefix: 'x' } },
};
const vhs: Graph = {
  '21': { class_type: 'VHS_LoadVideo', inputs: { video: 'a.mp4' } },
  '23': { class_type: 'VHS_VideoCombine', inputs: { images: ['21', 0], filename_prefix: 'x' } },
};

function workflow(graph: Graph): Workflow {
  return { name: 'w', hash: 'h', graph, timeouts: {}, ...describeGraph(graph) };
}

const binding = { inputName: 'tmlsr/a/input.png', filenamePrefix: 'tmlsr/a/out', size: null };

describe('describeGraph', () => {
  it('finds input and output by the classes of the nodes', () => {
    assert.deepEqual(describeGraph(image), {
      kind: 'image',
      input: { node: '1', field: 'image' },
      output: { node: '4', field: 'filename_prefix' },
    });
    assert.deepEqual(describeGraph(video).input, { node: '1', field: 'file' });
    assert.deepEqual(describeGraph(vhs).input, { node: '21', field: 'video' });
    assert.equal(describeGraph(vhs).kind, 'video');
  });

  it('says what is missing or too many', () => {
    const { '4': _, ...unsaved } = image;
    const twice = { ...image, '9': { class_type: 'LoadImage', inputs: { image: 'b.png' } } };
    assert.throws(() => describeGraph(unsaved), /No node writes the result: one of SaveImage/);
    assert.throws(() => describeGraph(twice), /LoadImage 1, LoadImage 9/);
    assert.throws(
      () => describeGraph({}),
      (error) => error instanceof GatewayError && error.code === 'workflow_invalid',
    );
  });
});

describe('bind', () => {
  it('sets the input and the prefix and leaves the graph alone', () => {
    const before = structuredClone(image);
    const prompt = bind(workflow(image), binding);
    assert.equal(prompt['1']?.inputs.image, 'tmlsr/a/input.png');
    assert.equal(prompt['4']?.inputs.filename_prefix, 'tmlsr/a/out');
    assert.deepEqual(image, before);
  });

  it('resizes between the last picture and the node that saves it', () => {
    const prompt = bind(workflow(image), { ...binding, size: { width: 30, height: 20 } });
    assert.deepEqual(prompt['4']?.inputs.images, ['8', 0]);
    assert.deepEqual(prompt['8']?.inputs, {
      image: ['7', 0],
      upscale_method: 'lanczos',
      width: 30,
      height: 20,
      crop: 'disabled',
    });
  });

  it('resizes the frames of a video before they are put together', () => {
    const prompt = bind(workflow(video), { ...binding, size: { width: 30, height: 20 } });
    assert.deepEqual(prompt['4']?.inputs.video, ['6', 0]);
    assert.deepEqual(prompt['6']?.inputs.images, ['7', 0]);
    assert.deepEqual(prompt['7']?.inputs.image, ['5', 0]);
    const combined = bind(workflow(vhs), { ...binding, size: { width: 30, height: 20 } });
    assert.deepEqual(combined['23']?.inputs.images, ['24', 0]);
  });
});
