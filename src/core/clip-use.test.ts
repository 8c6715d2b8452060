import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { clipUse } from './clip-use.ts';
import type { Graph, GraphNode } from './graph.ts';
import type { Workflow } from './workflow.ts';

const node = (class_type: string, inputs: GraphNode['inputs']): GraphNode => ({
  class_type,
  inputs,
});
const slot = { node: '1', field: 'file' };
const load = { '1': node('LoadVideo', { file: 'a.mp4' }) };
const apart = { ...load, '5': node('GetVideoComponents', { video: ['1', 0] }) };
const made = {
  ...apart,
  '6': node('CreateVideo', { images: ['5', 0], audio: ['5', 1], fps: ['5', 2] }),
};
const save = (inputs: GraphNode['inputs']): Graph => ({
  ...load,
  '4': node('SaveVideo', { video: ['1', 0], filename_prefix: 'x', ...inputs }),
});
const vhs = {
  '1': node('VHS_LoadVideo', { video: 'a.mp4' }),
  '4': node('VHS_VideoCombine', { images: ['1', 0], audio: ['1', 2] }),
};

const use = (graph: Graph, parameters: Workflow['parameters'] = []) =>
  clipUse({ graph, parameters }, slot);
const copied = { reader: 'comfyui', isDecoded: false, sound: [], needsSound: false };
const encoded = { ...copied, isDecoded: true, needsSound: true };

describe('what a graph makes of a clip', () => {
  it('is a new clip of its frames, with its sound', () => {
    const sound = [{ node: '6', field: 'audio' }];
    assert.deepEqual(use(made), { ...copied, isDecoded: true, sound });
  });

  it('is nothing of its sound, where nobody takes it', () => {
    assert.deepEqual(use(apart), { ...copied, isDecoded: true });
  });

  it('is something that a node does with its sound, which has to be there', () => {
    const trimmed = { ...apart, '7': node('TrimAudioDuration', { audio: ['5', 1] }) };
    assert.deepEqual(use(trimmed), encoded);
    const both = use({ ...made, '7': node('PreviewAudio', { audio: ['5', 1] }) });
    assert.deepEqual([both?.sound.length, both?.needsSound], [1, true]);
  });

  it('is a copy, unless it may be encoded anew', () => {
    assert.deepEqual(use(save({ format: 'auto', codec: 'auto' })), copied);
    assert.deepEqual(use(save({ format: 'webm', codec: 'auto' })), encoded);
    assert.deepEqual(use(save({ format: 'auto', codec: ['9', 0] })), encoded);
    assert.deepEqual(use(save({ format: 'auto', codec: 'auto', 'codec.crf': 20 })), encoded);
    const chosen = { name: 'codec', slots: [{ node: '4', field: 'codec' }] };
    const parameter = {
      ...chosen,
      schema: null,
      description: null,
      default: 'auto',
      isSeed: false,
    };
    assert.deepEqual(use(save({ format: 'auto', codec: 'auto' }), [parameter]), encoded);
    assert.deepEqual(use({ ...load, '2': node('Video Slice', { video: ['1', 0] }) }), encoded);
  });

  it('is what VideoHelperSuite makes of it', () => {
    const sound = [{ node: '4', field: 'audio' }];
    assert.deepEqual(use(vhs), { ...copied, reader: 'vhs', isDecoded: true, sound });
  });

  it('is not known of other loaders', () => {
    assert.equal(use({ '1': node('My Loader', { file: 'a.mp4' }) }), null);
  });
});
