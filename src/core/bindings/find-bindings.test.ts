import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { GatewayError } from '../errors.ts';
import type { Graph, GraphNode } from '../graph.ts';
import { findBindings } from './find-bindings.ts';
import { type BindingWishes, noWishes, type ParameterWish } from './wishes.ts';

const node = (
  class_type: string,
  inputs: Readonly<Record<string, unknown>>,
  title?: string,
): GraphNode => ({ class_type, inputs, ...(title === undefined ? {} : { _meta: { title } }) });

const image: Graph = {
  '1': node('LoadImage', { image: 'a.png' }),
  '7': node('ImageInvert', { image: ['1', 0] }),
  '4': node('SaveImage', { images: ['7', 0], filename_prefix: 'x' }),
};
const video: Graph = {
  '1': node('LoadVideo', { file: 'a.mp4' }),
  '5': node('GetVideoComponents', { video: ['1', 0] }),
  '6': node('CreateVideo', { images: ['5', 0], fps: ['5', 2] }),
  '4': node('SaveVideo', { video: ['6', 0], filename_prefix: 'x' }),
};
const sampler: Graph = {
  '2': node('CheckpointLoaderSimple', { ckpt_name: 'sd.safetensors' }),
  '3': node('CLIPTextEncode', { text: 'a cat', clip: ['2', 1] }),
  '5': node('CLIPTextEncode', { text: 'blurry', clip: ['2', 1] }),
  '6': node('EmptyLatentImage', { width: 512, height: 512, batch_size: 1 }),
  '8': node('KSampler', {
    model: ['2', 0],
    positive: ['3', 0],
    negative: ['5', 0],
    latent_image: ['6', 0],
    seed: 7,
    steps: 20,
    cfg: 8,
    sampler_name: 'euler',
    scheduler: 'normal',
    denoise: 1,
  }),
  '9': node('VAEDecodeTiled', { samples: ['8', 0], vae: ['2', 2], tile_size: 512 }),
  '10': node('SaveImage', { images: ['9', 0], filename_prefix: 'x' }),
};

const bindingsOf = (graph: Graph, wishes: Partial<BindingWishes> = {}) =>
  findBindings(graph, { ...noWishes, ...wishes });
const inputsOf = (graph: Graph, wishes: Partial<BindingWishes> = {}) =>
  bindingsOf(graph, wishes).inputs.map(({ name, slot }) => `${name} ${slot.node}.${slot.field}`);
const outputsOf = (graph: Graph, wishes: Partial<BindingWishes> = {}) =>
  bindingsOf(graph, wishes).outputs.map((output) => `${output.name} ${output.node}`);
const parametersOf = (graph: Graph, wishes: Partial<BindingWishes> = {}) =>
  bindingsOf(graph, wishes).parameters.map(
    ({ name, slots, default: value }) =>
      `${name}=${value} ${slots.map(({ node: id, field }) => `${id}.${field}`).join(' ')}`,
  );
const refusal = (graph: Graph, wishes: Partial<BindingWishes> = {}): string => {
  try {
    bindingsOf(graph, wishes);
  } catch (error) {
    assert.ok(error instanceof GatewayError && error.code === 'workflow_invalid');
    return error.message;
  }
  assert.fail('It was not refused');
};

const inputWish = { node: null, field: null, kind: null, isRequired: true, description: null };
const wish = (name: string, rest: Partial<ParameterWish> = {}): ParameterWish => ({
  name,
  isHidden: false,
  slots: [],
  schema: null,
  description: null,
  default: undefined,
  ...rest,
});

describe('findBindings by the classes of the nodes', () => {
  it('finds where a picture goes in and comes out', () => {
    assert.deepEqual(bindingsOf(image), {
      kind: 'image',
      inputs: [
        {
          name: 'image',
          kind: 'image',
          slot: { node: '1', field: 'image' },
          isRequired: true,
          description: null,
        },
      ],
      outputs: [
        {
          name: 'result',
          kind: 'image',
          node: '4',
          prefixField: 'filename_prefix',
          pictures: { node: '4', field: 'images' },
        },
      ],
      parameters: [],
      resolution: null,
    });
  });

  it('follows a video back to where its frames are pictures', () => {
    const { kind, inputs, outputs } = bindingsOf(video);
    assert.equal(kind, 'video');
    assert.deepEqual(inputs[0]?.slot, { node: '1', field: 'file' });
    assert.deepEqual(outputs[0]?.pictures, { node: '6', field: 'images' });
  });

  it('knows no pictures of a video that was never taken apart', () => {
    const copy = { ...video, '4': node('SaveVideo', { video: ['1', 0], filename_prefix: 'x' }) };
    assert.equal(bindingsOf(copy).outputs[0]?.pictures, null);
  });

  it('knows the nodes of Video Helper Suite, and takes a preview only where nothing is kept', () => {
    const vhs: Graph = {
      '21': node('VHS_LoadVideo', { video: 'a.mp4' }),
      '23': node('VHS_VideoCombine', {
        images: ['21', 0],
        filename_prefix: 'x',
        save_output: false,
      }),
    };
    assert.deepEqual(inputsOf(vhs), ['video 21.video']);
    assert.deepEqual(outputsOf(vhs), ['result 23']);
    const kept = node('VHS_VideoCombine', {
      images: ['21', 0],
      filename_prefix: 'x',
      save_output: true,
    });
    assert.deepEqual(outputsOf({ ...vhs, '24': kept }), ['result 24']);
  });

  it('takes no preview for a result', () => {
    const preview: Graph = { ...image, '9': node('PreviewImage', { images: ['1', 0] }) };
    assert.deepEqual(outputsOf(preview), ['result 4']);
    const { '4': _, ...unsaved } = preview;
    assert.match(refusal(unsaved), /^No node writes the result: one of SaveImage, /);
  });

  it('needs no input: what it makes tells what it is', () => {
    const { inputs, kind } = bindingsOf(sampler);
    assert.deepEqual(inputs, []);
    assert.equal(kind, 'image');
  });

  it('names several inputs by their titles, or by kind and id, a mask after the picture', () => {
    const several: Graph = {
      '2': node('LoadImageMask', { image: 'm.png' }, 'Load Image (as Mask)'),
      '5:1': node('LoadImage', { image: 'b.png' }, 'Load Image'),
      '8': node('LoadImage', { image: 'c.png' }, 'Style picture!'),
      '4': node('SaveImage', { images: ['8', 0], filename_prefix: 'x' }, 'save'),
    };
    assert.deepEqual(inputsOf(several), [
      'style_picture 8.image',
      'image_2 2.image',
      'image_5_1 5:1.image',
    ]);
  });

  it('leaves out a loader whose file another node names', () => {
    const linked = { ...image, '2': node('LoadImage', { image: ['7', 0] }) };
    assert.deepEqual(inputsOf(linked), ['image 1.image']);
  });

  it('names several outputs alike', () => {
    const several = {
      ...image,
      '5': node('SaveImage', { images: ['1', 0], filename_prefix: 'y' }, 'The source'),
      '6': node('SaveAnimatedWEBP', { images: ['1', 0], filename_prefix: 'y' }),
    };
    assert.deepEqual(outputsOf(several), ['image_4 4', 'the_source 5', 'image_6 6']);
  });

  it('finds what tells SeedVR2 the shorter side, if one place does', () => {
    const upscaler = node('SeedVR2VideoUpscaler', { image: ['1', 0], resolution: 1080 });
    const slot = { node: '10', field: 'resolution' };
    assert.deepEqual(bindingsOf({ ...image, '10': upscaler }).resolution, slot);
    assert.equal(bindingsOf({ ...image, '10': upscaler, '11': upscaler }).resolution, null);
    const linked = node('SeedVR2VideoUpscaler', { image: ['1', 0], resolution: ['7', 0] });
    assert.equal(bindingsOf({ ...image, '10': linked }).resolution, null);
  });

  it('finds it for ComfyUI’s own nodes in the node that enlarges for them', () => {
    const native = (mode: string, field: string) => ({
      ...image,
      '11': node('ResizeImageMaskNode', { input: ['1', 0], resize_type: mode, [field]: 2 }),
      '12': node('SeedVR2Preprocess', { resized_images: ['11', 0] }),
    });
    const shorter = native('scale shorter dimension', 'resize_type.shorter_size');
    const slot = { node: '11', field: 'resize_type.shorter_size' };
    assert.deepEqual(bindingsOf(shorter).resolution, slot);
    const times = native('scale by multiplier', 'resize_type.multiplier');
    assert.equal(bindingsOf(times).resolution, null);
  });
});

describe('findBindings by titles', () => {
  it('takes only the titled inputs, the one without a name first', () => {
    const titled: Graph = {
      ...image,
      '1': node('LoadImage', { image: 'logo.png' }, 'logo'),
      '2': node('LoadImageMask', { image: 'm.png' }, '@input:mask the mask'),
      '3': node('LoadImage', { image: 'a.png' }, 'the photo @input'),
    };
    assert.deepEqual(inputsOf(titled), ['image 3.image', 'mask 2.image']);
  });

  it('takes the only literal with a usual name of a class that it does not know', () => {
    const unknown = node('My Loader', { file: 'clip.webm', mode: 'x', frames: 3 }, '@Input：clip');
    const graph = { ...image, '2': unknown };
    assert.deepEqual(inputsOf(graph), ['clip 2.file']);
    assert.equal(bindingsOf(graph).kind, 'video');
  });

  it('takes only the titled outputs, previews and unknown classes among them', () => {
    const titled = {
      ...image,
      '5': node('PreviewImage', { images: ['1', 0] }, '@output:small'),
      '6': node('My Saver', { images: ['7', 0], filename_prefix: 'x' }, '@output'),
    };
    assert.deepEqual(outputsOf(titled), ['result 6', 'small 5']);
    const [main, small] = bindingsOf(titled).outputs;
    assert.deepEqual(main?.pictures, { node: '6', field: 'images' });
    assert.equal(main?.prefixField, 'filename_prefix');
    assert.equal(small?.prefixField, null);
  });

  it('takes the only value, the one of the same name, or the one that is named', () => {
    const graph: Graph = {
      ...image,
      '2': node('PrimitiveFloat', { value: 0.5 }, '@param:strength how strong'),
      '3': node(
        'ImageBlur',
        { image: ['1', 0], radius: 3, sigma: 1 },
        '@param:sigma @param:r=radius',
      ),
    };
    assert.deepEqual(parametersOf(graph), [
      'strength=0.5 2.value',
      'sigma=1 3.sigma',
      'r=3 3.radius',
    ]);
  });

  it('puts the value of one name into every node that has it', () => {
    const blur = (radius: number) =>
      node('ImageBlur', { image: ['1', 0], radius }, '@param:radius');
    assert.deepEqual(parametersOf({ ...image, '2': blur(3), '3': blur(3) }), [
      'radius=3 2.radius 3.radius',
    ]);
    assert.deepEqual(parametersOf({ ...image, '2': blur(3), '3': blur(5) }), [
      'radius=undefined 2.radius 3.radius',
    ]);
  });

  it('takes what the editor’s file exposes', () => {
    const exposures = [{ name: 'way', slot: { node: '8', field: 'sampler_name' } }];
    assert.ok(parametersOf(sampler, { exposures }).includes('way=euler 8.sampler_name'));
  });

  const refused: readonly [what: string, node: GraphNode, message: RegExp][] = [
    [
      'a name that is none',
      node('LoadImage', { image: 'a.png' }, '@input:my-mask'),
      /^LoadImage \(node 2, "@input:my-mask"\): @input:my-mask: "my-mask" is no name; a name has/,
    ],
    ['an empty name', node('LoadImage', { image: 'a.png' }, '@input:'), /"" is no name/],
    [
      'a name that the language keeps',
      node('X', { a: 1 }, '@param:__proto__'),
      /"__proto__" is no/,
    ],
    ['a parameter without a name', node('X', { a: 1 }, '@param'), /lacks the name: @param:NAME/],
    [
      'several values',
      node('X', { a: 1, b: 'x' }, '@param:c'),
      /write @param:c=FIELD with one of a, b/,
    ],
    ['no value', node('X', { a: ['1', 0] }, '@param:c'), /it has no value to choose/],
    ['a field that is not there', node('X', { a: 1 }, '@param:c=d'), /has no input "d"; it has a$/],
    ['a linked field', node('X', { a: ['1', 0] }, '@param:c=a'), /its a comes from another node/],
    ['two duties', node('LoadImage', { image: 'a.png' }, '@input @input:b'), /titled @input twice/],
    ['a reader as output', node('LoadImage', { image: 'a.png' }, '@output'), /but it reads a file/],
    [
      'a loader of server paths',
      node('VHS_LoadVideoPath', { video: 'input/a.mp4' }, '@input'),
      /takes a path of the server instead of an uploaded file; use VHS_LoadVideo$/,
    ],
    [
      'an unknown class with two texts',
      node('X', { a: 'x', b: 'y' }, '@input'),
      /\(it has a, b\); say it in \.meta\.json: "inputs": \{"NAME": \{"node": …, "field": …\}\}/,
    ],
    [
      'an unknown kind',
      node('X', { file: 'x' }, '@input'),
      /say it in \.meta\.json: "type": "image"/,
    ],
    [
      'a file name as a parameter',
      node('SaveImage', { images: ['1', 0], filename_prefix: 'x' }, '@output @param:p'),
      /its filename_prefix is no parameter; the gateway names the files/,
    ],
    [
      'a name for an input and a parameter',
      node('X', { a: 1 }, '@param:image'),
      /^Two inputs or parameters have the name image$/,
    ],
  ];
  for (const [what, titled, message] of refused) {
    it(`refuses ${what}`, () => assert.match(refusal({ ...image, '2': titled }), message));
  }

  it('refuses an input’s name that stands twice', () => {
    const load = node('LoadImage', { image: 'a.png' }, '@input:a');
    assert.match(
      refusal({ ...image, '2': load, '3': load }),
      /^Several nodes are titled @input:a$/,
    );
  });

  it('takes no part of a word for a token', () => {
    const mail = node('LoadImage', { image: 'a.png' }, 'me@input.org @inputs');
    assert.deepEqual(inputsOf({ ...image, '1': mail }), ['image 1.image']);
  });
});

describe('findBindings of what everybody asks for', () => {
  it('finds the seed, the sampler’s numbers, its texts and the size of tiles', () => {
    assert.deepEqual(parametersOf(sampler), [
      'seed=7 8.seed',
      'steps=20 8.steps',
      'cfg=8 8.cfg',
      'denoise=1 8.denoise',
      'prompt=a cat 3.text',
      'negative_prompt=blurry 5.text',
      'tile_size=512 9.tile_size',
    ]);
    const seeds = bindingsOf(sampler).parameters.filter(({ isSeed }) => isSeed);
    assert.deepEqual(
      seeds.map(({ name }) => name),
      ['seed'],
    );
  });

  it('takes a seed that a choice brings along for one, where it is a parameter', () => {
    const graph = {
      '1': { class_type: 'Sampler', inputs: { model: 'b', 'model.seed': 3 } },
      '4': { class_type: 'SaveImage', inputs: { images: ['1', 0], filename_prefix: 'x' } },
    };
    const titled = {
      ...graph,
      '1': { ...graph['1'], _meta: { title: '@param:noise=model.seed' } },
    };
    assert.deepEqual(findBindings(graph, noWishes).parameters, []);
    const [noise] = findBindings(titled, noWishes).parameters;
    assert.deepEqual([noise?.name, noise?.default, noise?.isSeed], ['noise', 3, true]);
  });

  it('sets all seeds alike, and leaves other numbers alone that differ', () => {
    const second = node('KSamplerAdvanced', {
      ...sampler['8']?.inputs,
      noise_seed: 9,
      steps: 30,
      cfg: 8,
    });
    const found = parametersOf({ ...sampler, '11': second });
    assert.ok(found.includes('seed=undefined 8.seed 11.seed 11.noise_seed'));
    assert.ok(found.includes('cfg=8 8.cfg 11.cfg'));
    assert.ok(!found.some((each) => each.startsWith('steps')));
  });

  it('follows the texts through nodes that change them, each side on its own', () => {
    const control: Graph = {
      ...sampler,
      '20': node('ControlNetApplyAdvanced', {
        positive: ['3', 0],
        negative: ['5', 0],
        image: ['9', 0],
        strength: 1,
      }),
      '8': node('KSampler', {
        ...sampler['8']?.inputs,
        positive: ['20', 0],
        negative: ['20', 1],
      }),
    };
    const found = parametersOf(control);
    assert.ok(found.includes('prompt=a cat 3.text'));
    assert.ok(found.includes('negative_prompt=blurry 5.text'));
  });

  it('has no negative text where it is made of the positive one', () => {
    const zeroed: Graph = {
      ...sampler,
      '5': node('ConditioningZeroOut', { conditioning: ['3', 0] }),
    };
    const found = parametersOf(zeroed);
    assert.ok(found.includes('prompt=a cat 3.text'));
    assert.ok(!found.some((each) => each.startsWith('negative_prompt')));
  });

  it('leaves a value to the operator who named it', () => {
    const inputs = sampler['8']?.inputs ?? {};
    const named = { ...sampler, '8': node('KSampler', inputs, '@param:strength=denoise') };
    const found = parametersOf(named);
    assert.ok(found.includes('strength=1 8.denoise'));
    assert.ok(!found.some((each) => each.startsWith('denoise')));
  });
});

describe('findBindings by what the sidecar says', () => {
  it('takes exactly the inputs that it lists, found ones by name', () => {
    const graph = { ...image, '2': node('X', { path: 'a.png' }, 'Second picture') };
    const inputs = [
      {
        ...inputWish,
        name: 'style',
        node: 'Second picture',
        field: 'path',
        kind: 'image' as const,
      },
      { ...inputWish, name: 'image', isRequired: false, description: 'What to restore.' },
    ];
    const bindings = bindingsOf(graph, { inputs });
    assert.deepEqual(inputsOf(graph, { inputs }), ['image 1.image', 'style 2.path']);
    assert.equal(bindings.inputs[0]?.isRequired, false);
    assert.equal(bindings.inputs[0]?.description, 'What to restore.');
    assert.deepEqual(inputsOf(graph, { inputs: [] }), []);
  });

  it('takes exactly the outputs that it lists, in its order', () => {
    const graph = {
      ...image,
      '5': node('SaveImage', { images: ['1', 0], filename_prefix: 'y' }, 'before'),
    };
    const output = { name: null, kind: null };
    assert.deepEqual(outputsOf(graph, { outputs: [{ ...output, node: 'before' }] }), ['result 5']);
    const both = [
      { ...output, name: 'before', node: '5' },
      { ...output, name: 'after', node: '4' },
    ];
    assert.deepEqual(outputsOf(graph, { outputs: both }), ['before 5', 'after 4']);
  });

  it('chooses as main input what the workflow is said to work on', () => {
    const both = { ...video, '0': node('LoadImage', { image: 'a.png' }) };
    assert.equal(bindingsOf(both).kind, 'image');
    const { kind, inputs } = bindingsOf(both, { kind: 'video' });
    assert.equal(kind, 'video');
    assert.deepEqual(
      inputs.map(({ name }) => name),
      ['video_1', 'image_0'],
    );
  });

  it('adds parameters, says more of those that are found, and hides them', () => {
    const parameters = [
      wish('way', { slots: [{ node: '8', field: 'sampler_name' }], default: 'dpmpp_2m' }),
      wish('steps', { schema: { maximum: 30 }, description: 'More take longer.' }),
      wish('cfg', { isHidden: true }),
    ];
    const found = bindingsOf(sampler, { parameters }).parameters;
    const byName = new Map(found.map((parameter) => [parameter.name, parameter]));
    assert.equal(byName.get('way')?.default, 'dpmpp_2m');
    assert.deepEqual(byName.get('steps')?.schema, { maximum: 30 });
    assert.equal(byName.get('steps')?.default, 20);
    assert.equal(byName.has('cfg'), false);
  });

  const twins = { ...image, '8': node('X', { a: 1 }, 'twin'), '9': node('X', { a: 1 }, 'twin') };
  const refused: readonly [string, Partial<BindingWishes>, RegExp][] = [
    [
      'a node that is not there',
      { parameters: [wish('p', { slots: [{ node: 'twim', field: 'a' }] })] },
      /^Its \.meta\.json: parameters\.p: no node has the id or the title "twim"; did you mean "twin"\?$/,
    ],
    [
      'a title that several nodes have',
      { parameters: [wish('p', { slots: [{ node: 'twin', field: 'a' }] })] },
      /several nodes have the title "twin": X \(node 8, "twin"\), X \(node 9, "twin"\); use an id$/,
    ],
    [
      'a parameter that is not found',
      { parameters: [wish('sede', { isHidden: true })] },
      /parameters\.sede: nothing of this name is found/,
    ],
    [
      'an input that is not found',
      { inputs: [{ ...inputWish, name: 'imgae' }] },
      /inputs\.imgae: no input of this name is found, so "node" is needed; did you mean "image"\?/,
    ],
    [
      'a field that is not there',
      { inputs: [{ ...inputWish, name: 'a', node: '8', field: 'b' }] },
      /has no input "b"/,
    ],
    ['no output at all', { outputs: [] }, /at least one node has to count/],
    [
      'an output that stands twice',
      {
        outputs: [
          { name: null, node: '4', kind: null },
          { name: null, node: '4', kind: null },
        ],
      },
      /outputs\.1: node 4 is there already/,
    ],
  ];
  for (const [what, wishes, message] of refused) {
    it(`refuses ${what}`, () => assert.match(refusal(twins, wishes), message));
  }
});
