import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { nodeCatalogue } from '../comfyui/messages.ts';
import type { JsonSchema } from './json-schema.ts';
import { parametersSchema, schemaOf } from './parameters.ts';
import type { Parameter } from './workflow.ts';

const described = (inputs: Readonly<Record<string, unknown>>) => ({ input: { required: inputs } });
const catalogue = nodeCatalogue({
  X: described({
    steps: ['INT', { default: 20, min: 1, max: 10_000, step: 1 }],
    cfg: ['FLOAT', { min: 0, max: 100 }],
    text: ['STRING', { multiline: true }],
    fast: ['BOOLEAN'],
    method: [['a', 'b', 'c']],
    model: [[]],
    file: [['x.png'], { image_upload: true }],
    seed: ['INT', { min: 0, max: 2 ** 64 }],
    any: ['*'],
    packed: [['m.safetensors', 'n.pth']],
    way: [
      'COMFY_DYNAMICCOMBO_V3',
      {
        options: [
          { key: 'by side', inputs: { required: { side: ['INT', { min: 8, max: 64 }] } } },
          { key: 'by area', inputs: { required: { area: ['INT', {}] } } },
        ],
      },
    ],
  }),
  Y: described({
    steps: ['INT', { min: 4, max: 50 }],
    cfg: ['INT', { min: -5 }],
    method: [['c', 'b', 'd']],
  }),
});

const graph = {
  '1': {
    class_type: 'X',
    inputs: {
      steps: 20,
      cfg: 7.5,
      text: 'x',
      fast: true,
      method: 'a',
      model: 'm',
      file: 'f.png',
      seed: 7,
      any: 3,
      packed: 'm.pth',
      way: 'by side',
      'way.side': 16,
    },
  },
  '2': { class_type: 'Y', inputs: { steps: 20, cfg: 8, method: 'b' } },
  '3': {
    class_type: 'Unknown',
    inputs: { amount: 0.5, list: [1, 2, 3], seed: 959_948_902_156_062 },
  },
};

const parameter = (field: string, nodes: readonly string[], rest: Partial<Parameter> = {}) => ({
  name: field,
  slots: nodes.map((node) => ({ node, field })),
  schema: null,
  description: null,
  default: undefined,
  isSeed: false,
  ...rest,
});

const cases: readonly [string, Parameter, JsonSchema][] = [
  ['a whole number', parameter('steps', ['1']), { type: 'integer', minimum: 1, maximum: 10_000 }],
  ['a number', parameter('cfg', ['1']), { type: 'number', minimum: 0, maximum: 100 }],
  ['a text', parameter('text', ['1']), { type: 'string' }],
  ['a choice of two', parameter('fast', ['1']), { type: 'boolean' }],
  [
    'a model, its default by the name that the server has',
    parameter('packed', ['1'], { default: 'm.pth' }),
    { enum: ['m.safetensors', 'n.pth'], default: 'm.safetensors' },
  ],
  [
    'choices for which the graph holds what they bring along',
    parameter('way', ['1']),
    { enum: ['by side'] },
  ],
  [
    'what a choice brings along',
    parameter('way.side', ['1']),
    { type: 'integer', minimum: 8, maximum: 64 },
  ],
  ['choices', parameter('method', ['1']), { enum: ['a', 'b', 'c'] }],
  ['no choice that the server has', parameter('model', ['1']), { type: 'string' }],
  ['a file that is put there', parameter('file', ['1']), { type: 'string' }],
  ['any value, by what the graph has', parameter('any', ['1']), { type: 'number' }],
  ['an unknown class, by what the graph has', parameter('amount', ['3']), { type: 'number' }],
  [
    'a list, by what a client may write at all',
    parameter('list', ['3']),
    { type: ['string', 'number', 'boolean'] },
  ],
  [
    'what all nodes take that get it',
    parameter('steps', ['1', '2']),
    { type: 'integer', minimum: 4, maximum: 50 },
  ],
  [
    'whole numbers where one node takes no others',
    parameter('cfg', ['2', '1']),
    { type: 'integer', minimum: 0, maximum: 100 },
  ],
  ['the choices that all have', parameter('method', ['1', '2']), { enum: ['b', 'c'] }],
  [
    'the operator over the node',
    parameter('steps', ['1'], {
      schema: { maximum: 30, multipleOf: 5 },
      description: 'More take longer.',
      default: 10,
    }),
    {
      description: 'More take longer.',
      type: 'integer',
      minimum: 1,
      maximum: 30,
      multipleOf: 5,
      default: 10,
    },
  ],
  [
    'a seed, as far as JSON keeps its digits, or a random one',
    parameter('seed', ['1'], { isSeed: true, default: 7 }),
    {
      anyOf: [
        { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER },
        { const: 'random' },
      ],
      default: 7,
    },
  ],
];

describe('schemaOf', () => {
  for (const [what, given, schema] of cases) {
    it(`describes ${what}`, () => assert.deepEqual(schemaOf(given, { graph }, catalogue), schema));
  }

  it('goes by the graph where no server was asked', () => {
    assert.deepEqual(schemaOf(parameter('steps', ['1']), { graph }, null), { type: 'number' });
    assert.deepEqual(schemaOf(parameter('method', ['1']), { graph }, null), { type: 'string' });
    assert.deepEqual(schemaOf(parameter('fast', ['1']), { graph }, null), { type: 'boolean' });
  });
});

describe('parametersSchema', () => {
  it('allows the parameters and nothing else', () => {
    const parameters = [parameter('fast', ['1']), parameter('text', ['1'])];
    assert.deepEqual(parametersSchema({ graph, parameters }, catalogue), {
      type: 'object',
      properties: { fast: { type: 'boolean' }, text: { type: 'string' } },
      additionalProperties: false,
    });
  });
});
