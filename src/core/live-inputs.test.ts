import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { nodeCatalogue } from '../comfyui/messages.ts';
import { parseWorkflow } from '../workflows/parse.ts';
import { shortcomings } from './capabilities.ts';
import type { Graph } from './graph.ts';
import { inputNamed, liveInputs, openChoices } from './live-inputs.ts';
import type { NodeClass } from './node-catalogue.ts';

const choice = (key: string, inputs: object) => ({ key, inputs });
const number = ['INT', { default: 8, min: 1, max: 16 }];

/** Inputs of every kind that holds others. */
const described = {
  Save: {
    input: {
      required: {
        format: [
          'COMFY_DYNAMICCOMBO_V3',
          {
            options: [
              choice('png', { required: { bit_depth: ['COMBO', { options: [8, 16] }] } }),
              choice('exr', {
                required: {
                  half: ['BOOLEAN', {}],
                  packing: [
                    'COMFY_DYNAMICCOMBO_V3',
                    {
                      options: [choice('zip', { required: { level: number } }), choice('none', {})],
                    },
                  ],
                },
              }),
              choice('jpg', { optional: { quality: number } }),
            ],
          },
        ],
      },
      optional: {
        legacy: [
          'COMFY_DYNAMICCOMBO_V3',
          { options: [choice('old', { required: { x: number } })] },
        ],
      },
    },
  },
  Batch: {
    input: {
      required: {
        images: [
          'COMFY_AUTOGROW_V3',
          {
            template: {
              input: { required: { image: ['IMAGE', {}] } },
              prefix: 'image',
              min: 2,
              max: 3,
            },
          },
        ],
        texts: [
          'COMFY_AUTOGROW_V3',
          {
            template: { input: { optional: { text: ['STRING', {}] } }, names: ['a', 'b'], min: 1 },
          },
        ],
      },
    },
  },
  Guided: {
    input: {
      optional: {
        guide: [
          'COMFY_DYNAMICSLOT_V3',
          { slotType: 'IMAGE', inputs: { required: { strength: number } } },
        ],
        loras: [
          'COMFY_DYNAMICGROUP_V3',
          {
            template: { required: { name: ['STRING', {}] }, optional: { weight: number } },
            min: 1,
            max: 3,
          },
        ],
        later: ['COMFY_DYNAMICSOMETHING_V9', {}],
      },
    },
  },
};
const catalogue = nodeCatalogue(described);
const classNamed = (name: string) => catalogue.get(name) as NodeClass;

/** Required ones bear a mark. */
function names(className: string, held: Readonly<Record<string, unknown>>): string[] {
  return liveInputs(classNamed(className), held).map(
    ({ name, isRequired }) => `${name}${isRequired ? '!' : ''}`,
  );
}

describe('liveInputs', () => {
  const cases: readonly (readonly [
    it: string,
    className: string,
    held: Readonly<Record<string, unknown>>,
    names: readonly string[],
  ])[] = [
    [
      'brings what is chosen along',
      'Save',
      { format: 'png' },
      ['format!', 'format.bit_depth!', 'legacy'],
    ],
    ['brings nothing along for what is unknown', 'Save', { format: 'gif' }, ['format!', 'legacy']],
    [
      'requires no choice inside another, as ComfyUI does not',
      'Save',
      { format: 'exr' },
      ['format!', 'format.half!', 'format.packing', 'legacy'],
    ],
    [
      'looks into choices inside others',
      'Save',
      { format: 'exr', 'format.packing': 'zip' },
      ['format!', 'format.half!', 'format.packing', 'format.packing.level!', 'legacy'],
    ],
    [
      'requires as many inputs that grow as their template does, and none of optional ones',
      'Batch',
      {},
      ['images.image0!', 'images.image1!', 'images.image2', 'texts.a', 'texts.b'],
    ],
    [
      'brings nothing along for a slot that is free',
      'Guided',
      { 'loras.0.name': 'a' },
      ['guide', 'loras.0.name!', 'loras.0.weight'],
    ],
    [
      'brings the inputs of a slot that is linked, and of each row',
      'Guided',
      { guide: ['1', 0], 'loras.2.weight': 1 },
      ['guide', 'guide.strength!', 'loras.2.name!', 'loras.2.weight'],
    ],
    [
      'wants as many rows as it has to have',
      'Guided',
      {},
      ['guide', 'loras.0.name!', 'loras.0.weight'],
    ],
  ];
  for (const [sentence, className, held, expected] of cases) {
    it(sentence, () => assert.deepEqual(names(className, held), expected));
  }
});

describe('inputNamed', () => {
  it('finds what a choice brings along, also one that is not made', () => {
    for (const held of [{ format: 'png' }, { format: 'jpg' }]) {
      const input = inputNamed(classNamed('Save'), held, 'format.bit_depth');
      assert.deepEqual(input?.choices, [8, 16]);
    }
    assert.equal(inputNamed(classNamed('Save'), {}, 'format.packing.level')?.type, 'INT');
    assert.equal(inputNamed(classNamed('Save'), {}, 'format.size'), undefined);
  });
});

describe('openChoices', () => {
  it('are those for which the node holds what they require', () => {
    const [format] = classNamed('Save').inputs;
    assert.ok(format);
    assert.deepEqual(openChoices(format, { format: 'jpg' }), ['jpg']);
    assert.deepEqual(openChoices(format, { 'format.bit_depth': 8 }), ['png', 'jpg']);
  });
});

describe('a server with inputs inside inputs', async () => {
  const file = new URL('../../test/editor-graphs/object-info.json', import.meta.url);
  const newest = nodeCatalogue(JSON.parse(await readFile(file, 'utf8')));
  const load = { class_type: 'LoadImage', inputs: { image: 'x.png' } };
  const reasonsOf = (graph: Graph, server = newest) =>
    shortcomings(
      parseWorkflow({ name: 'w', text: JSON.stringify(graph), meta: null }, null),
      server,
    );

  it('has a value that is missing there named', () => {
    const inputs = {
      input: ['1', 0],
      resize_type: 'scale longer dimension',
      scale_method: 'lanczos',
    };
    const graph = {
      '1': load,
      '2': { class_type: 'ResizeImageMaskNode', inputs },
      '3': { class_type: 'SaveImage', inputs: { images: ['2', 0], filename_prefix: 'x' } },
    };
    assert.deepEqual(reasonsOf(graph), [
      'ResizeImageMaskNode (node 2) lacks its input resize_type.longer_size',
    ]);
    const odd = { ...inputs, 'resize_type.longer_size': 99_999 };
    assert.deepEqual(
      reasonsOf({ ...graph, '2': { class_type: 'ResizeImageMaskNode', inputs: odd } }),
      ['ResizeImageMaskNode (node 2) has resize_type.longer_size 99999, more than 16384'],
    );
    const unknown = { ...inputs, resize_type: 'scale it' };
    assert.match(
      reasonsOf({ ...graph, '2': { class_type: 'ResizeImageMaskNode', inputs: unknown } }).join(),
      /has no resize_type "scale it"; it has/,
    );
  });

  it('wants as many links as a growing input has to have', () => {
    const graph = {
      '1': load,
      '2': { class_type: 'BatchImagesNode', inputs: {} },
      '3': { class_type: 'SaveImage', inputs: { images: ['2', 0], filename_prefix: 'x' } },
    };
    assert.deepEqual(reasonsOf(graph), ['BatchImagesNode (node 2) lacks its input images.image0']);
    const inputs = { 'images.image0': ['1', 0], 'images.image1': ['1', 0] };
    assert.deepEqual(reasonsOf({ ...graph, '2': { class_type: 'BatchImagesNode', inputs } }), []);
  });

  it('takes the shipped graphs that were made for one without', async () => {
    const folder = new URL('../../workflows/', import.meta.url);
    const files = (await readdir(folder)).filter((name) => name.endsWith('video_4x.json'));
    assert.ok(files.length > 0);
    for (const name of files) {
      const graph = JSON.parse(await readFile(new URL(name, folder), 'utf8')) as Graph;
      const faults = reasonsOf(graph).filter((reason) => !/no node class/.test(reason));
      assert.deepEqual(faults, [], name);
    }
  });
});
