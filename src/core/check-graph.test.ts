import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkGraph } from './check-graph.ts';
import { GatewayError } from './errors.ts';

const load = { class_type: 'LoadImage', inputs: { image: 'a.png' } };
const invert = (from: string, title?: string) => ({
  class_type: 'ImageInvert',
  inputs: { image: [from, 0] },
  ...(title === undefined ? {} : { _meta: { title } }),
});

describe('checkGraph', () => {
  it('takes nodes that are linked in any order', () => {
    checkGraph({ '3': invert('2'), '2': invert('1'), '1': load, '4': invert('2') });
  });

  it('takes names that mean something to the language', () => {
    checkGraph({ constructor: load, toString: invert('constructor') });
  });

  it('takes lists that are no links', () => {
    checkGraph({ '1': { class_type: 'X', inputs: { points: [1, 2, 3], size: [512, 512] } } });
  });

  const broken: readonly [what: string, graph: unknown, message: RegExp][] = [
    ['no object', [], /no JSON object of nodes/],
    ['no nodes', {}, /has no nodes/],
    ['a node that is none', { '1': 'x' }, /^Node 1: it is no JSON object/],
    ['no class', { '1': { inputs: {} } }, /^Node 1: class_type is missing/],
    ['an empty class', { '1': { class_type: '', inputs: {} } }, /^Node 1: class_type is missing/],
    ['no inputs', { '1': { class_type: 'X' } }, /^Node 1: inputs is missing/],
    ['a list of inputs', { '1': { class_type: 'X', inputs: [] } }, /^Node 1: inputs is missing/],
    ['a title of numbers', { '1': { ...load, _meta: { title: 3 } } }, /^Node 1: its title/],
    [
      'a link to nowhere',
      { '2': invert('9', 'the mirror') },
      /^ImageInvert \(node 2, "the mirror"\): its image is linked to node 9, which is missing$/,
    ],
    [
      'a link to what every object inherits',
      { '2': invert('constructor') },
      /linked to node constructor, which is missing/,
    ],
    [
      'a node that needs itself',
      { '1': invert('1') },
      /cycle: ImageInvert \(node 1\) → ImageInvert/,
    ],
    [
      'a cycle, beside which other nodes lead into it',
      {
        '1': load,
        '2': invert('4', 'a'),
        '3': invert('2', 'b'),
        '4': invert('3'),
        '5': invert('4'),
      },
      /cycle: ImageInvert \(node 2, "a"\) → ImageInvert \(node 4\) → ImageInvert \(node 3, "b"\) → ImageInvert \(node 2, "a"\)$/,
    ],
  ];
  for (const [what, graph, message] of broken) {
    it(`refuses ${what}`, () => {
      assert.throws(
        () => checkGraph(graph),
        (error) =>
          error instanceof GatewayError &&
          error.code === 'workflow_invalid' &&
          message.test(error.message),
      );
    });
  }

  it('follows a chain that is longer than calls may be deep', () => {
    const length = 50_000;
    const chain = Object.fromEntries(
      Array.from({ length }, (_, index) => [`n${index}`, invert(`n${index + 1}`)]),
    );
    checkGraph({ ...chain, [`n${length}`]: load });
    assert.throws(
      () => checkGraph({ ...chain, [`n${length}`]: invert('n0') }),
      /→ and 49994 more$/,
    );
  });
});
