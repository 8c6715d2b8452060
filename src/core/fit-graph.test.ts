import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { nodeCatalogue } from '../comfyui/messages.ts';
import { fitGraph } from './fit-graph.ts';
import type { Graph } from './graph.ts';
import { needlessNodes } from './previews.ts';
import { sameModel } from './same-model.ts';

const catalogue = nodeCatalogue({
  LoadImage: { input: {}, output: ['IMAGE', 'MASK'] },
  Blur: { input: { required: { image: ['IMAGE'] } }, output: ['IMAGE'] },
  Model: {
    input: { required: { name: ['COMBO', { options: ['a.safetensors', 'b.pth', 'sub/c.ckpt'] }] } },
    output: ['MODEL'],
  },
  Scale: {
    input: {
      required: {
        image: ['IMAGE', {}],
        steps: ['INT', { default: 1 }],
        megapixels: ['FLOAT', {}],
        linked: ['FLOAT', { default: 1, forceInput: true }],
        points: ['CURVE', { default: [[0, 0]] }],
        way: [
          'COMFY_DYNAMICCOMBO_V3',
          { options: [{ key: 'to', inputs: { required: { side: ['INT', { default: 512 }] } } }] },
        ],
      },
      optional: { more: ['INT', { default: 3 }] },
    },
    output: ['IMAGE'],
  },
  PreviewImage: { input: { required: { images: ['IMAGE'] } }, output: [], output_node: true },
  SaveImage: { input: { required: { images: ['IMAGE'] } }, output: ['IMAGE'], output_node: true },
});

const node = (class_type: string, inputs: Readonly<Record<string, unknown>> = {}) => ({
  class_type,
  inputs,
});
const outputs = (...ids: string[]) => ({
  outputs: ids.map((id) => ({
    name: id,
    kind: 'image' as const,
    node: id,
    prefixField: null,
    pictures: null,
  })),
});

describe('sameModel', () => {
  const choices = ['x4.safetensors', 'x4.pth', 'x2.pth', 'sub/x.ckpt', 'y.gguf', 3];
  const cases: readonly (readonly [name: unknown, model: string | undefined])[] = [
    ['x4.ckpt', 'x4.safetensors'],
    ['x2.safetensors', 'x2.pth'],
    ['x4.pth', undefined],
    ['x.pth', undefined],
    ['sub/x.pt', 'sub/x.ckpt'],
    ['y.safetensors', undefined],
    ['x2', undefined],
    [3, undefined],
    [undefined, undefined],
  ];
  for (const [name, model] of cases) {
    it(`${JSON.stringify(name)} is ${JSON.stringify(model)}`, () => {
      assert.equal(sameModel(name, choices), model);
    });
  }
});

describe('fitGraph', () => {
  const fitted = (graph: Graph) => fitGraph(graph, outputs('9'), catalogue);

  it('gives a model the name that the server has', () => {
    const { graph, notes } = fitted({ '1': node('Model', { name: 'a.pth' }) });
    assert.deepEqual(graph['1']?.inputs, { name: 'a.safetensors' });
    assert.deepEqual(notes, ['Model (node 1) gets name "a.safetensors" for "a.pth"']);
  });

  it('leaves alone what the server has, does not have, or is linked', () => {
    const nodes = {
      '1': node('Model', { name: 'b.pth' }),
      '2': node('Model', { name: 'd.pth' }),
      '3': node('Model', { name: ['1', 0] }),
      '4': node('Unknown', { name: 'a.pth' }),
    };
    assert.deepEqual(fitted(nodes), { graph: nodes, notes: [] });
  });

  it('fills what is required with the default that the server tells, and nothing else', () => {
    const { graph, notes } = fitted({ '2': node('Scale', { way: 'to' }) });
    assert.deepEqual(graph['2']?.inputs, { way: 'to', steps: 1 });
    assert.deepEqual(notes, ['Scale (node 2) gets steps 1, the default of an input that it lacks']);
  });

  it('leaves out a preview, and says so', () => {
    const nodes = {
      '1': node('LoadImage'),
      '2': node('PreviewImage', { images: ['1', 0] }),
      '9': node('SaveImage', { images: ['1', 0] }),
    };
    const { graph, notes } = fitted(nodes);
    assert.deepEqual(Object.keys(graph), ['1', '9']);
    assert.match(notes.join(), /^PreviewImage \(node 2\) is not sent/);
  });
});

describe('needlessNodes', () => {
  const cases: readonly {
    readonly it: string;
    readonly graph: Graph;
    readonly results?: readonly string[];
    readonly needless: readonly string[];
  }[] = [
    {
      it: 'are a preview and what leads to it alone',
      graph: {
        '1': node('LoadImage'),
        '2': node('Blur', { image: ['1', 0] }),
        '3': node('Blur', { image: ['2', 0] }),
        '4': node('PreviewImage', { images: ['3', 0] }),
        '9': node('SaveImage', { images: ['1', 0] }),
      },
      needless: ['4', '3', '2'],
    },
    {
      it: 'are nothing that another output needs',
      graph: {
        '1': node('LoadImage'),
        '2': node('Blur', { image: ['1', 0] }),
        '4': node('PreviewImage', { images: ['2', 0] }),
        '9': node('SaveImage', { images: ['2', 0] }),
      },
      needless: ['4'],
    },
    {
      it: 'are no preview that is a result',
      graph: { '1': node('LoadImage'), '9': node('PreviewImage', { images: ['1', 0] }) },
      needless: [],
    },
    {
      it: 'are no preview for which a result comes to be that is no output node',
      graph: {
        '1': node('LoadImage'),
        '9': node('Blur', { image: ['1', 0] }),
        '4': node('PreviewImage', { images: ['9', 0] }),
      },
      needless: [],
    },
    {
      it: 'are previews of what was kept already',
      graph: {
        '1': node('LoadImage'),
        '9': node('SaveImage', { images: ['1', 0] }),
        '4': node('PreviewImage', { images: ['9', 0] }),
      },
      needless: ['4'],
    },
    {
      it: 'are no output node that a preview looks at, nor a class that is unknown',
      graph: {
        '1': node('SaveImage'),
        '2': node('Unknown'),
        '3': node('PreviewImage', { images: ['1', 0] }),
        '4': node('PreviewImage', { images: ['2', 0] }),
        '9': node('SaveImage', { images: ['2', 0] }),
      },
      needless: ['4', '3'],
    },
    {
      it: 'are clips that are not kept beside one that is',
      graph: {
        '1': node('LoadImage'),
        '2': node('VHS_VideoCombine', { images: ['1', 0], save_output: false }),
        '9': node('VHS_VideoCombine', { images: ['1', 0], save_output: true }),
      },
      needless: ['2'],
    },
    {
      it: 'are no previews that others need',
      graph: {
        '1': node('LoadImage'),
        '2': node('PreviewBridge', { images: ['1', 0] }),
        '9': node('SaveImage', { images: ['2', 0] }),
      },
      needless: [],
    },
  ];
  for (const { it: sentence, graph, results = ['9'], needless } of cases) {
    it(sentence, () => {
      assert.deepEqual([...needlessNodes(graph, outputs(...results), catalogue)], needless);
    });
  }
});
