import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { GatewayError } from '../core/errors.ts';
import { parseMeta } from './meta.ts';

const parse = (value: unknown) => parseMeta(JSON.stringify(value));

describe('parseMeta', () => {
  it('says nothing where nothing is said', () => {
    const nothing = {
      title: null,
      description: null,
      aliases: [],
      scale: null,
      timeouts: {},
      limits: {},
      wishes: { kind: null, inputs: null, outputs: null, parameters: [] },
    };
    assert.deepEqual(parseMeta(null), nothing);
    assert.deepEqual(parse({ $schema: 'https://example.com/workflow.json' }), nothing);
  });

  it('reads everything that an operator may say', () => {
    const meta = parse({
      title: 'Restore',
      description: 'Restores a picture.',
      type: 'image',
      aliases: ['restore-v1'],
      scale: 2,
      inputs: {
        image: { node: 3 },
        mask: { node: 'the mask', field: 'image', required: false, description: 'Where.' },
      },
      outputs: { result: { node: '4', type: 'image' }, small: {} },
      parameters: {
        strength: { node: '57:3', field: 'value', schema: { maximum: 1 }, default: 0.5 },
        both: {
          slots: [
            { node: 1, field: 'a' },
            { node: 'b', field: 'c' },
          ],
          description: 'Two.',
        },
        steps: false,
      },
      queue_timeout: 0,
      run_timeout: 90.5,
      queue_when_unavailable: true,
      limits: { max_pixels: 1_000_000, max_seconds: 0.5 },
    });
    assert.deepEqual(meta, {
      title: 'Restore',
      description: 'Restores a picture.',
      aliases: ['restore-v1'],
      scale: 2,
      timeouts: { queueMs: null, runMs: 90_500 },
      mayWait: true,
      limits: { maxPixels: 1_000_000, maxSeconds: 0.5 },
      wishes: {
        kind: 'image',
        inputs: [
          {
            name: 'image',
            node: '3',
            field: null,
            kind: null,
            isRequired: true,
            description: null,
          },
          {
            name: 'mask',
            node: 'the mask',
            field: 'image',
            kind: null,
            isRequired: false,
            description: 'Where.',
          },
        ],
        outputs: [
          { name: 'result', node: '4', kind: 'image' },
          { name: 'small', node: null, kind: null },
        ],
        parameters: [
          {
            name: 'strength',
            isHidden: false,
            slots: [{ node: '57:3', field: 'value' }],
            schema: { maximum: 1 },
            description: null,
            default: 0.5,
          },
          {
            name: 'both',
            isHidden: false,
            slots: [
              { node: '1', field: 'a' },
              { node: 'b', field: 'c' },
            ],
            schema: null,
            description: 'Two.',
            default: undefined,
          },
          {
            name: 'steps',
            isHidden: true,
            slots: [],
            schema: null,
            description: null,
            default: undefined,
          },
        ],
      },
    });
  });

  it('reads a list of the nodes that count', () => {
    assert.deepEqual(parse({ outputs: [9, 'the result'] }).wishes.outputs, [
      { name: null, node: '9', kind: null },
      { name: null, node: 'the result', kind: null },
    ]);
  });

  const refused: readonly [what: string, value: unknown, message: RegExp][] = [
    [
      'a field that is misspelt',
      { run_timout: 1 },
      /^run_timout: there is no such field; did you mean "run_timeout"\?$/,
    ],
    ['a field that is like none', { colour: 'red' }, /^colour: there is no such field$/],
    [
      'a misspelt field of an input',
      { inputs: { a: { node: '1', requird: true } } },
      /^inputs\.a\.requird: there is no such field; did you mean "required"\?$/,
    ],
    [
      'a misspelt field of a parameter',
      { parameters: { a: { node: '1', field: 'x', defualt: 1 } } },
      /^parameters\.a\.defualt: there is no such field; did you mean "default"\?$/,
    ],
    [
      'a misspelt field of a place',
      { parameters: { a: { slots: [{ node: '1', feild: 'x', field: 'x' }] } } },
      /^parameters\.a\.slots\.0\.feild: there is no such field; did you mean "field"\?$/,
    ],
    [
      'a misspelt field of an output',
      { outputs: { a: { nod: '1' } } },
      /^outputs\.a\.nod: there is no such field; did you mean "node"\?$/,
    ],
    [
      'a misspelt limit',
      { limits: { max_pixel: 1 } },
      /^limits\.max_pixel: there is no such field; did you mean "max_pixels"\?$/,
    ],
    ['a limit of nothing', { limits: { max_frames: 0 } }, /^limits\.max_frames: /],
    ['a text for a number', { run_timeout: 'long' }, /^run_timeout: must be a number$/],
    ['a time before now', { queue_timeout: -1 }, /^queue_timeout: /],
    ['a scale of nothing', { scale: 0 }, /^scale: /],
    ['another type', { type: 'film' }, /^type: must be image, video, audio, 3d, text or latent$/],
    ['a parameter that is only true', { parameters: { a: true } }, /^parameters\.a: /],
    [
      'a default that no client could write',
      { parameters: { a: { default: [1] } } },
      /^parameters\.a\.default: /,
    ],
    [
      'half a place',
      { parameters: { a: { node: '1' } } },
      /^parameters\.a: "node" and "field" go together/,
    ],
    [
      'two ways to say the place',
      { parameters: { a: { node: '1', field: 'x', slots: [{ node: '1', field: 'x' }] } } },
      /^parameters\.a: either/,
    ],
    [
      'a field without its node',
      { inputs: { a: { field: 'x' } } },
      /^inputs\.a: a field needs its node/,
    ],
    [
      'a schema that is none',
      { parameters: { a: { schema: { type: 'numbr' } } } },
      /^parameters\.a: its schema is no JSON Schema: .*type/,
    ],
    [
      'a keyword that is misspelt',
      { parameters: { a: { schema: { minimun: 1 } } } },
      /^parameters\.a: its schema is no JSON Schema: .*minimun/,
    ],
    [
      'a schema that is elsewhere',
      { parameters: { a: { schema: { $ref: 'https://example.com/x.json' } } } },
      /^parameters\.a: its schema is no JSON Schema: can't resolve reference/,
    ],
    ['a list', [], /^It must be an object$/],
  ];
  for (const [what, value, message] of refused) {
    it(`refuses ${what}`, () => {
      assert.throws(
        () => parse(value),
        (error) => {
          assert.ok(error instanceof GatewayError && error.code === 'workflow_invalid');
          assert.match(error.message, message);
          return true;
        },
      );
    });
  }

  it('takes a schema that has a name, again and again', () => {
    const meta = { parameters: { a: { schema: { $id: 'strength', maximum: 1 } } } };
    parse(meta);
    parse(meta);
  });
});
