import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseWorkflow } from './parse.ts';

const graph = {
  '1': { class_type: 'LoadImage', inputs: { image: 'a.png' }, _meta: { title: 'load' } },
  '4': {
    class_type: 'SaveImage',
    inputs: { images: ['1', 0], filename_prefix: 'x' },
    _meta: { title: 'save' },
  },
  '5': { class_type: 'KSampler', inputs: { seed: 1, steps: 20 } },
};
const hashOf = (nodes: unknown, meta: unknown = {}, name = 'w') =>
  parseWorkflow({ name, text: JSON.stringify(nodes), meta: JSON.stringify(meta) }, null).hash;
const usual = hashOf(graph);

describe('workflowHash', () => {
  it('is sha256 in hex, and the same wherever it is made', () => {
    assert.equal(usual, 'b0d514c43af99131e571e80df2cabb05788d3f4cbdafc4268813478173dbfc84');
  });

  it('does not mind names, notes, titles of nodes and the order of keys', () => {
    assert.equal(hashOf(graph, {}, 'other'), usual);
    const said = {
      title: 'T',
      description: 'D',
      aliases: ['a'],
      run_timeout: 3,
      limits: { max_frames: 9 },
    };
    assert.equal(hashOf(graph, said), usual);
    assert.equal(hashOf(graph, { parameters: { seed: { description: 'D' } } }), usual);
    const retitled = { ...graph, '4': { ...graph['4'], _meta: { title: 'the result' } } };
    assert.equal(hashOf(retitled), usual);
    const turned = {
      ...graph,
      '4': { inputs: { filename_prefix: 'x', images: ['1', 0] }, class_type: 'SaveImage' },
    };
    assert.equal(hashOf(turned), usual);
  });

  const changed: readonly [string, unknown, unknown][] = [
    ['a value', { ...graph, '5': { class_type: 'KSampler', inputs: { seed: 2, steps: 20 } } }, {}],
    ['a class', { ...graph, '5': { class_type: 'Other', inputs: { seed: 1, steps: 20 } } }, {}],
    ['the scale', graph, { scale: 2 }],
    ['the kind', graph, { type: 'video' }],
    ['whether an input is required', graph, { inputs: { image: { required: false } } }],
    ['which parameters there are', graph, { parameters: { seed: false } }],
    ['a default', graph, { parameters: { seed: { default: 2 } } }],
    ['the name of an output', graph, { outputs: { picture: { node: '4' } } }],
  ];
  for (const [what, nodes, meta] of changed) {
    it(`tells ${what}`, () => assert.notEqual(hashOf(nodes, meta), usual));
  }
});
