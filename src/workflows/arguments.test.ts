import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { nodeCatalogue } from '../comfyui/messages.ts';
import { GatewayError } from '../core/errors.ts';
import { checkArguments } from './arguments.ts';
import { parseWorkflow } from './parse.ts';

const catalogue = nodeCatalogue({
  KSampler: {
    input: {
      required: {
        seed: ['INT', { min: 0, max: 2 ** 64 }],
        steps: ['INT', { min: 1, max: 10000 }],
        sampler_name: [['euler', 'ddim']],
        weights: ['COMBO', { options: ['x.safetensors', 'y.pth'] }],
        size: [
          'COMFY_DYNAMICCOMBO_V3',
          {
            options: [
              { key: 'by side', inputs: { required: { side: ['INT', { min: 8, max: 64 }] } } },
              { key: 'by both', inputs: { required: { width: ['INT', {}], height: ['INT', {}] } } },
              { key: 'as it is', inputs: {} },
            ],
          },
        ],
      },
    },
  },
});
const links = { model: ['1', 0], positive: ['1', 0] };
const graph = {
  '1': { class_type: 'LoadImage', inputs: { image: 'a.png' } },
  '4': { class_type: 'SaveImage', inputs: { images: ['5', 0], filename_prefix: 'x' } },
  '5': {
    class_type: 'KSampler',
    inputs: {
      ...links,
      seed: 1,
      steps: 20,
      sampler_name: 'euler',
      weights: 'y.safetensors',
      size: 'by side',
      'size.side': 16,
    },
    _meta: {
      title: '@param:way=sampler_name @param:model=weights @param:size=size @param:side=size.side',
    },
  },
  '6': { class_type: 'Unknown', inputs: { note: 'x' }, _meta: { title: '@param:note' } },
};
const meta = { parameters: { steps: { schema: { maximum: 50, multipleOf: 5 } } } };
const workflow = parseWorkflow(
  { name: 'w', text: JSON.stringify(graph), meta: JSON.stringify(meta) },
  null,
);
const check = (values: Readonly<Record<string, unknown>>) =>
  checkArguments(workflow, catalogue, values);

describe('checkArguments', () => {
  it('gives back what was asked for and no more', () => {
    assert.deepEqual(check({}), {});
    assert.deepEqual(check({ steps: 25, way: 'ddim', seed: 3 }), {
      steps: 25,
      way: 'ddim',
      seed: 3,
    });
  });

  it('takes a model by the name of the same weights in another file', () => {
    assert.deepEqual(check({ model: 'x.pth' }), { model: 'x.safetensors' });
    assert.deepEqual(check({ model: 'y.safetensors' }), { model: 'y.pth' });
    assert.throws(() => check({ model: 'z.pth' }), /must be one of "x.safetensors", "y.pth"$/);
  });

  it('checks what a choice brings along, and takes no choice whose values the graph lacks', () => {
    assert.deepEqual(check({ size: 'as it is', side: 64 }), { size: 'as it is', side: 64 });
    assert.throws(() => check({ side: 65 }), /inputs\.side must be .*64/);
    assert.throws(() => check({ size: 'by both' }), /must be one of "by side", "as it is"$/);
  });

  it('draws a seed when asked to, another one each time', () => {
    const seeds = Array.from({ length: 20 }, () => check({ seed: 'random' }).seed);
    assert.ok(new Set(seeds).size > 15);
    for (const seed of seeds) {
      assert.ok(Number.isInteger(seed) && Number(seed) >= 0 && Number(seed) <= 0xffff_ffff);
    }
  });

  it('draws within what the operator allows', () => {
    const narrow = { parameters: { seed: { schema: { minimum: 5, maximum: 6 } } } };
    const fixed = parseWorkflow(
      {
        name: 'w',
        text: JSON.stringify({
          ...graph,
          '5': { ...graph['5'], inputs: { ...graph['5'].inputs, seed: 5 } },
        }),
        meta: JSON.stringify(narrow),
      },
      null,
    );
    const seeds = Array.from(
      { length: 40 },
      () => checkArguments(fixed, null, { seed: 'random' }).seed,
    );
    assert.deepEqual([...new Set(seeds)].sort(), [5, 6]);
  });

  const refused: readonly [values: Record<string, unknown>, field: string, message: RegExp][] = [
    [{ steps: 'many' }, 'inputs.steps', /^inputs\.steps must be a whole number$/],
    [{ steps: 0 }, 'inputs.steps', /^inputs\.steps must be at least 1$/],
    [{ steps: 55 }, 'inputs.steps', /^inputs\.steps must be at most 50$/],
    [{ steps: 7 }, 'inputs.steps', /^inputs\.steps must be a multiple of 5$/],
    [{ steps: null }, 'inputs.steps', /must be a text, a number, true or false$/],
    [{ note: ['5', 0] }, 'inputs.note', /must be a text, a number, true or false$/],
    [{ note: { __value__: 1 } }, 'inputs.note', /must be a text, a number, true or false$/],
    [{ note: 3 }, 'inputs.note', /^inputs\.note must be a string$/],
    [{ way: 'eular' }, 'inputs.way', /^inputs\.way must be one of "euler", "ddim"$/],
    [
      { seed: 'any' },
      'inputs.seed',
      /^inputs\.seed must be a whole number from 0 to 9007199254740991, or "random"$/,
    ],
    [
      { step: 3 },
      'inputs.step',
      /^The workflow w has no parameter "step": it has way, model, size, side, note, seed, steps; did you mean "steps"\?$/,
    ],
    [JSON.parse('{"__proto__": 3}'), 'inputs.__proto__', /has no parameter "__proto__"/],
    [{ constructor: 3 }, 'inputs.constructor', /has no parameter "constructor"/],
  ];
  for (const [values, field, message] of refused) {
    it(`refuses ${JSON.stringify(values)}`, () => {
      assert.throws(
        () => check(values),
        (error) => {
          assert.ok(error instanceof GatewayError && error.code === 'invalid_request');
          assert.equal(error.field, field);
          assert.match(error.message, message);
          return true;
        },
      );
    });
  }

  it('goes by the graph where no server was asked', () => {
    assert.deepEqual(checkArguments(workflow, null, { way: 'anything' }), { way: 'anything' });
    assert.throws(() => checkArguments(workflow, null, { way: 3 }), /must be a string/);
  });
});
