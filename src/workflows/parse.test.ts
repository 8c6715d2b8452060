import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { nodeCatalogue } from '../comfyui/messages.ts';
import { GatewayError } from '../core/errors.ts';
import { maxWorkflowBytes, parseFile, parseWorkflow, toWorkflow } from './parse.ts';

const folder = new URL('../../workflows/', import.meta.url);

const parse = (text: string, meta: string | null = null) =>
  parseWorkflow({ name: 'w', text, meta }, null);

const graph = JSON.stringify({
  '1': { class_type: 'LoadImage', inputs: { image: 'a.png' } },
  '2': { class_type: 'ImageBlur', inputs: { image: ['1', 0], radius: 3 } },
  '4': { class_type: 'SaveImage', inputs: { images: ['2', 0], filename_prefix: 'x' } },
});

describe('parseWorkflow', () => {
  it('reads every workflow that is shipped', async () => {
    const files = await readdir(folder);
    const names = files.filter((file) => !file.endsWith('.meta.json'));
    for (const file of names) {
      const meta = file.replace(/\.json$/, '.meta.json');
      const workflow = parseWorkflow(
        {
          name: file.replace(/\.json$/, ''),
          text: await readFile(new URL(file, folder), 'utf8'),
          meta: files.includes(meta) ? await readFile(new URL(meta, folder), 'utf8') : null,
        },
        null,
      );
      const isVideo = workflow.name.split('_').includes('video');
      assert.equal(workflow.kind, isVideo ? 'video' : 'image', file);
      assert.equal(workflow.inputs.length, 1, file);
    }
    assert.ok(names.length >= 6);
  });

  it('takes what its operator says of it from the file beside it', () => {
    const said = {
      title: 'Blur',
      aliases: ['soft'],
      scale: 1,
      run_timeout: 90.5,
      parameters: { radius: { node: 'ImageBlur', field: 'radius' } },
    };
    const titled = graph.replace('"ImageBlur",', '"ImageBlur","_meta":{"title":"ImageBlur"},');
    const workflow = parse(titled, JSON.stringify(said));
    assert.equal(workflow.title, 'Blur');
    assert.deepEqual(workflow.aliases, ['soft']);
    assert.equal(workflow.scale, 1);
    assert.deepEqual(workflow.timeouts, { runMs: 90_500 });
    assert.deepEqual(workflow.parameters[0]?.slots, [{ node: '2', field: 'radius' }]);
  });

  it('keeps names that mean something to the language for what they are', () => {
    const text = graph.replaceAll('"2"', '"constructor"').replaceAll('radius', 'toString');
    const workflow = parse(text);
    assert.equal(Object.entries(workflow.graph)[2]?.[1].class_type, 'ImageBlur');
    assert.equal(Reflect.get(workflow.graph, 'toString'), undefined);
  });

  const broken: readonly [what: string, text: string, meta: string | null, message: RegExp][] = [
    ['nothing', '', null, /^The file is not JSON: it ends too early at line 1, column 1$/],
    ['half a file', '{"1": ', null, /^The file is not JSON: it ends too early/],
    ['a list', '[]', null, /^The file holds no JSON object$/],
    ['null', 'null', null, /^The file holds no JSON object$/],
    ['no nodes', '{}', null, /^The graph has no nodes$/],
    ['no class', '{"1": {"inputs": {}}}', null, /^Node 1: class_type is missing/],
    ['__proto__ as a node', '{"__proto__": {"class_type": "X"}}', null, /named "__proto__"/],
    ['no result', graph.replace('SaveImage', 'ShowImage'), null, /^No node writes the result/],
    ['a large file', `"${'x'.repeat(maxWorkflowBytes)}"`, null, /^The file is larger than 4 MB$/],
    ['a broken sidecar', graph, '{"run_timeout":', /^Its \.meta\.json: The file is not JSON: /],
    ['a wrong sidecar', graph, '{"run_timeout": "long"}', /^Its \.meta\.json: run_timeout: /],
    [
      'a large sidecar',
      graph,
      `"${'x'.repeat(maxWorkflowBytes)}"`,
      /^Its \.meta\.json: It is larger/,
    ],
    [
      'a default that its schema does not allow',
      graph,
      '{"parameters": {"r": {"node": 2, "field": "radius", "schema": {"maximum": 5}, "default": 9}}}',
      /^The parameter r: the default is 9, which its schema does not allow$/,
    ],
    [
      'a default of another type than the graph’s',
      graph,
      '{"parameters": {"r": {"node": 2, "field": "radius", "default": "wide"}}}',
      /^The parameter r: the default is "wide", which its schema does not allow$/,
    ],
    [
      'a schema that does not allow what the graph has',
      graph,
      '{"parameters": {"r": {"node": 2, "field": "radius", "schema": {"minimum": 5}}}}',
      /^The parameter r: the graph has 3, which its schema does not allow$/,
    ],
    [
      'a seed that is random by default',
      graph.replace('radius', 'seed'),
      '{"parameters": {"seed": {"default": "random"}}}',
      /^The parameter seed: the default is "random"/,
    ],
  ];
  for (const [what, text, meta, message] of broken) {
    it(`refuses ${what}`, () => {
      assert.throws(
        () => parse(text, meta),
        (error) => {
          assert.ok(error instanceof GatewayError && error.code === 'workflow_invalid');
          assert.match(error.message, message);
          return true;
        },
      );
    });
  }
});

describe('parseWorkflow of what the editor saved', () => {
  const catalogue = nodeCatalogue({
    LoadImage: {
      input: { required: { image: [[], { image_upload: true }] } },
      output: ['IMAGE', 'MASK'],
    },
    SaveImage: {
      input: { required: { images: ['IMAGE'], filename_prefix: ['STRING', { default: 'x' }] } },
      output: [],
      output_node: true,
    },
  });
  const file = {
    last_node_id: 2,
    last_link_id: 1,
    nodes: [
      {
        id: 1,
        type: 'LoadImage',
        mode: 0,
        order: 0,
        inputs: [],
        outputs: [{ name: 'IMAGE', type: 'IMAGE', links: [1] }],
        widgets_values: ['a.png', 'image'],
      },
      {
        id: 2,
        type: 'SaveImage',
        mode: 0,
        order: 1,
        inputs: [{ name: 'images', type: 'IMAGE', link: 1 }],
        outputs: [],
        widgets_values: ['ComfyUI'],
      },
    ],
    links: [[1, 1, 0, 2, 0, 'IMAGE']],
    groups: [],
    config: {},
    extra: {},
    version: 0.4,
  };
  const saved = { name: 'w', text: JSON.stringify(file), meta: null };

  it('converts it with what a server says of its nodes', () => {
    const parsed = parseFile(saved);
    assert.equal(parsed.format, 'editor');
    const workflow = toWorkflow(parsed, catalogue);
    assert.deepEqual(workflow.inputs[0]?.slot, { node: '1', field: 'image' });
    assert.equal(workflow.outputs[0]?.node, '2');
  });

  it('waits for a server', () => {
    assert.throws(
      () => parseWorkflow(saved, null),
      (error) =>
        error instanceof GatewayError &&
        error.code === 'workflow_unavailable' &&
        /^The workflow w is in the editor's format, and no ComfyUI server has told/.test(
          error.message,
        ),
    );
  });
});
