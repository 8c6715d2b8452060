import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Binding, bind } from './bind.ts';
import { GatewayError } from './errors.ts';
import type { Graph } from './graph.ts';
import type { Parameter, Workflow, WorkflowInput, WorkflowOutput } from './workflow.ts';

const graph: Graph = {
  '1': { class_type: 'LoadImage', inputs: { image: 'a.png' }, _meta: { title: 'input' } },
  '7': { class_type: 'ImageInvert', inputs: { image: ['1', 0], strength: 1 } },
  '4': { class_type: 'SaveImage', inputs: { images: ['7', 0], filename_prefix: 'x' } },
};

const input: WorkflowInput = {
  name: 'input',
  kind: 'image',
  slot: { node: '1', field: 'image' },
  isRequired: true,
  description: null,
};
const output: WorkflowOutput = {
  name: 'output',
  kind: 'image',
  node: '4',
  prefixField: 'filename_prefix',
  pictures: { node: '4', field: 'images' },
};
const strength: Parameter = {
  name: 'strength',
  slots: [{ node: '7', field: 'strength' }],
  schema: null,
  description: null,
  default: 1,
  isSeed: false,
};

function workflow(changed: Partial<Workflow> = {}): Workflow {
  return {
    name: 'w',
    hash: 'h',
    graph,
    kind: 'image',
    title: null,
    description: null,
    aliases: [],
    scale: null,
    inputs: [input],
    outputs: [output],
    parameters: [strength],
    resolution: null,
    timeouts: {},
    ...changed,
  };
}

const binding: Binding = {
  files: { input: 'tmlsr/a/input.png' },
  folder: 'tmlsr/a',
  arguments: {},
  size: { by: 'workflow' },
};
const resize = { width: 30, height: 20 };
const resized: Binding = { ...binding, size: { by: 'graph', resolution: null, resize } };

describe('bind', () => {
  it('sets the file and the beginning of the name, and leaves the graph alone', () => {
    const before = structuredClone(graph);
    const prompt = bind(workflow(), binding);
    assert.deepEqual(prompt, {
      ...graph,
      '1': { ...graph['1'], inputs: { image: 'tmlsr/a/input.png' } },
      '4': { ...graph['4'], inputs: { images: ['7', 0], filename_prefix: 'tmlsr/a/output' } },
    });
    bind(workflow(), { ...resized, arguments: { strength: 0.5 } });
    assert.deepEqual(graph, before);
  });

  describe('of a clip that lies on its side', () => {
    const loaded: Graph = {
      '1': { class_type: 'LoadVideo', inputs: { file: 'a.mp4' } },
      '5': { class_type: 'GetVideoComponents', inputs: { video: ['1', 0] } },
      '7': { class_type: 'ImageInvert', inputs: { image: ['5', 0] } },
      '8': { class_type: 'CreateVideo', inputs: { images: ['7', 0], fps: ['5', 2] } },
      '4': { class_type: 'SaveVideo', inputs: { video: ['8', 0], filename_prefix: 'x' } },
    };
    const file = { ...input, slot: { node: '1', field: 'file' } };
    const of = (graph: Graph) => workflow({ graph, inputs: [file], parameters: [] });
    const onItsSide: Binding = { ...binding, turns: { input: 270 } };

    it('turns its frames behind the loader, and nothing else of it', () => {
      const prompt = bind(of(loaded), onItsSide);
      const inputs = { image: ['5', 0], rotation: '270 degrees' };
      assert.deepEqual(prompt['9'], {
        class_type: 'ImageRotate',
        inputs,
        _meta: { title: 'upright' },
      });
      assert.deepEqual(prompt['7']?.inputs.image, ['9', 0]);
      assert.deepEqual(prompt['8']?.inputs.fps, ['5', 2]);
      assert.deepEqual(bind(of(loaded), { ...onItsSide, turns: {} }), bind(of(loaded), binding));
    });

    it('is refused where it goes elsewhere, too', () => {
      const copied = { ...loaded, '9': { class_type: 'SaveVideo', inputs: { video: ['1', 0] } } };
      assert.throws(() => bind(of(copied), onItsSide), { code: 'workflow_unsupported' });
    });

    it('loses the links that are left out, and the graph keeps them', () => {
      const clip = of(loaded);
      const before = JSON.stringify(clip.graph);
      const prompt = bind(clip, { ...binding, leftOut: [{ node: '8', field: 'fps' }] });
      assert.equal('fps' in (prompt['8']?.inputs ?? {}), false);
      assert.equal(JSON.stringify(clip.graph), before);
    });

    it('leaves a loader alone that turns by itself', () => {
      const vhs = { ...loaded, '1': { class_type: 'VHS_LoadVideo', inputs: { file: 'a.mp4' } } };
      assert.equal(bind(of(vhs), onItsSide)['9'], undefined);
    });
  });

  it('lets an input that is not required read the file that the graph names', () => {
    const optional = { ...input, isRequired: false };
    const prompt = bind(workflow({ inputs: [optional] }), { ...binding, files: {} });
    assert.equal(prompt['1']?.inputs.image, 'a.png');
  });

  it('never lets a required input read a file of somebody else', () => {
    assert.throws(
      () => bind(workflow(), { ...binding, files: {} }),
      (error) => error instanceof GatewayError && error.code === 'invalid_request',
    );
    // What every object inherits is no file of the task.
    const inherited = { ...input, name: 'toString' };
    assert.throws(() => bind(workflow({ inputs: [inherited] }), binding), /no file for toString/);
  });

  it('leaves the name to a node that chooses it by itself', () => {
    const prompt = bind(workflow({ outputs: [{ ...output, prefixField: null }] }), binding);
    assert.deepEqual(prompt['4'], graph['4']);
  });

  it('gives each output a name of its own', () => {
    const preview = {
      '9': { class_type: 'SaveImage', inputs: { images: ['1', 0], filename_prefix: 'y' } },
    };
    const second = { ...output, name: 'preview', node: '9', pictures: null };
    const outputs = [output, second];
    const prompt = bind(workflow({ graph: { ...graph, ...preview }, outputs }), resized);
    assert.equal(prompt['4']?.inputs.filename_prefix, 'tmlsr/a/output');
    assert.equal(prompt['9']?.inputs.filename_prefix, 'tmlsr/a/preview');
    // Only the main one is resized.
    assert.deepEqual(prompt['9']?.inputs.images, ['1', 0]);
  });

  it('sets what the task chose at every place, and else the default', () => {
    const slots = [...strength.slots, { node: '1', field: 'strength' }];
    const parameters = [{ ...strength, slots, default: 0.75 }];
    const chosen = bind(workflow({ parameters }), { ...binding, arguments: { strength: 0 } });
    assert.equal(chosen['7']?.inputs.strength, 0);
    assert.equal(chosen['1']?.inputs.strength, 0);
    const usual = bind(workflow({ parameters }), binding);
    assert.equal(usual['7']?.inputs.strength, 0.75);
    const none = bind(workflow({ parameters: [{ ...strength, default: undefined }] }), binding);
    assert.equal(none['7']?.inputs.strength, 1);
  });

  it('resizes between the last picture and the node that takes it', () => {
    const prompt = bind(workflow(), resized);
    assert.deepEqual(prompt['4']?.inputs.images, ['8', 0]);
    assert.deepEqual(prompt['8'], {
      class_type: 'ImageScale',
      inputs: {
        image: ['7', 0],
        upscale_method: 'lanczos',
        width: 30,
        height: 20,
        crop: 'disabled',
      },
      _meta: { title: 'final size' },
    });
  });

  it('sets the resolution, over a parameter that is the same field', () => {
    const resolution = { node: '7', field: 'strength' };
    const size = { by: 'graph', resolution: 720, resize: null } as const;
    const chosen = { ...binding, arguments: { strength: 0.5 }, size };
    const prompt = bind(workflow({ resolution }), chosen);
    assert.equal(prompt['7']?.inputs.strength, 720);
    assert.equal(Object.keys(prompt).length, 3);
  });

  it('leaves to the gateway what the gateway does', () => {
    const size = { by: 'gateway', resolution: 720, size: resize } as const;
    const outputs = [{ ...output, pictures: null }];
    const resolution = { node: '7', field: 'strength' };
    const prompt = bind(workflow({ outputs, resolution }), { ...binding, size });
    assert.equal(prompt['7']?.inputs.strength, 720);
    assert.deepEqual(prompt['4']?.inputs.images, ['7', 0]);
  });

  it('takes no id that is in use, whatever the ids are', () => {
    const odd: Graph = {
      ...graph,
      '57:3': { class_type: 'ImageInvert', inputs: {} },
      '99999999999999999999': { class_type: 'ImageInvert', inputs: {} },
      constructor: { class_type: 'ImageInvert', inputs: {} },
    };
    const prompt = bind(workflow({ graph: odd }), resized);
    assert.equal(Object.keys(prompt).length, Object.keys(odd).length + 1);
    assert.equal(prompt['58']?.class_type, 'ImageScale');
  });

  it('takes __proto__ for an id like any other', () => {
    const named = JSON.parse(JSON.stringify(graph).replaceAll('"7"', '"__proto__"')) as Graph;
    const parameters = [{ ...strength, slots: [{ node: '__proto__', field: 'strength' }] }];
    const chosen = { ...resized, arguments: { strength: 0.5 } };
    const prompt = bind(workflow({ graph: named, parameters }), chosen);
    assert.equal(Object.getPrototypeOf(prompt), Object.prototype);
    assert.deepEqual(Object.keys(prompt).toSorted(), ['1', '4', '5', '__proto__']);
    assert.match(JSON.stringify(prompt), /"__proto__":{"class_type":"ImageInvert".*0\.5/);
  });

  it('says which node is missing', () => {
    assert.throws(
      () => bind(workflow({ inputs: [{ ...input, slot: { node: '3', field: 'x' } }] }), binding),
      (error) => error instanceof GatewayError && /Node 3/.test(error.message),
    );
  });
});
