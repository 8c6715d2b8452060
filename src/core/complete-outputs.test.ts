import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { withoutIncompleteOutputs } from './complete-outputs.ts';
import type { Graph } from './graph.ts';
import type { NodeCatalogue, NodeClass } from './node-catalogue.ts';

const picture = { name: 'image', type: 'IMAGE', isRequired: true, choices: null, settings: {} };

function nodeClass(name: string, inputs: NodeClass['inputs'], isOutput = false): NodeClass {
  return { name, displayName: name, inputs, outputs: [{ name: 'IMAGE', type: 'IMAGE' }], isOutput };
}

const catalogue: NodeCatalogue = new Map([
  ['Load', nodeClass('Load', [])],
  ['Invert', nodeClass('Invert', [picture])],
  ['Mix', nodeClass('Mix', [{ ...picture, isRequired: false }])],
  ['Save', nodeClass('Save', [picture], true)],
]);

const load = { class_type: 'Load', inputs: {} };
const save = (from: string) => ({ class_type: 'Save', inputs: { image: [from, 0] } });
const lost = { class_type: 'Save', inputs: {} };
const bare = { class_type: 'Invert', inputs: {} };

const cases: readonly [sentence: string, graph: Graph, kept: readonly string[]][] = [
  ['keeps what is complete', { 1: load, 2: save('1') }, ['1', '2']],
  ['leaves out what has no picture to save', { 1: load, 2: save('1'), 3: lost }, ['1', '2']],
  [
    'leaves out what depends on a node without its input, and not that node',
    { 1: load, 2: save('1'), 3: bare, 4: save('3') },
    ['1', '2', '3'],
  ],
  [
    'does not miss what is optional',
    { 1: { class_type: 'Mix', inputs: {} }, 2: save('1') },
    ['1', '2'],
  ],
  ['keeps all where none is complete', { 1: lost, 2: save('3'), 3: bare }, ['1', '2', '3']],
  [
    'takes an unknown class as it is',
    { 1: { class_type: 'New', inputs: {} }, 2: save('1'), 3: lost },
    ['1', '2'],
  ],
  [
    'ends on a graph that runs in a circle',
    { 1: { class_type: 'Mix', inputs: { image: ['1', 0] } }, 2: save('1'), 3: lost },
    ['1', '2'],
  ],
];

describe('withoutIncompleteOutputs', () => {
  for (const [sentence, graph, kept] of cases) {
    it(sentence, () => {
      assert.deepEqual(Object.keys(withoutIncompleteOutputs(graph, catalogue)), kept);
    });
  }
});
