import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { parseWorkflow } from '../workflows/parse.ts';
import { type Binding, bind } from './bind.ts';
import type { Graph } from './graph.ts';
import { alphaWay, keepsTransparency } from './transparency.ts';
import type { Workflow } from './workflow.ts';

const root = new URL('../../', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), 'utf8');
/** As they were before there was any transparency. */
const opaque: Record<string, { hash: string; prompt: string }> = JSON.parse(
  read('test/golden/opaque-prompts.json'),
);
const binding: Binding = {
  files: { image: 'tmlsr/a/image.png' },
  folder: 'tmlsr/a',
  arguments: {},
  size: { by: 'graph', resolution: null, resize: { width: 30, height: 20 } },
};

function shipped(name: string): Workflow {
  const text = read(`workflows/${name}.json`);
  return parseWorkflow({ name, text, meta: read(`workflows/${name}.meta.json`) }, null);
}

function made(graph: Graph): Workflow {
  return parseWorkflow({ name: 'made', text: JSON.stringify(graph), meta: null }, null);
}

const load = { class_type: 'LoadImage', inputs: { image: 'a.png' } };
const save = (from: string) => ({
  class_type: 'SaveImage',
  inputs: { images: [from, 0], filename_prefix: 'a' },
});
const through = (class_type: string, inputs: object) =>
  made({ 1: load, 2: { class_type, inputs: { image: ['1', 0], ...inputs } }, 3: save('2') });

describe('transparency', () => {
  for (const [name, { hash, prompt }] of Object.entries(opaque)) {
    it(`is joined to what ${name} makes, and only where there is some`, () => {
      const workflow = shipped(name);
      assert.equal(workflow.hash, hash);
      assert.equal(keepsTransparency(workflow), true);
      const bound = bind(workflow, { ...binding, joinsAlpha: false });
      assert.equal(createHash('sha256').update(JSON.stringify(bound)).digest('hex'), prompt);

      const joined = bind(workflow, { ...binding, joinsAlpha: true });
      const [id = '', second] = Object.keys(joined).filter((each) => !Object.hasOwn(bound, each));
      assert.equal(second, undefined);
      const { pictures, mask } = alphaWay(workflow) ?? {};
      assert.ok(pictures);
      const node = joined[id];
      assert.equal(node?.class_type, 'JoinImageWithAlpha');
      // It takes what the writer took, the last resize, and the mask of the loader.
      assert.deepEqual(node?.inputs, {
        image: bound[pictures.node]?.inputs[pictures.field],
        alpha: mask,
      });
      assert.deepEqual(joined[pictures.node]?.inputs[pictures.field], [id, 0]);
      assert.equal(joined[mask?.[0] ?? '']?.class_type, 'LoadImage');
    });
  }

  it('is not joined where the graph moves things, or means something else by the mask', () => {
    for (const [what, workflow] of Object.entries({
      cut: through('ImageCrop', { width: 9, height: 9, x: 0, y: 0 }),
      'cut to fit': through('ImageScale', { width: 9, height: 9, crop: 'center' }),
      unknown: through('RemoveBackground', {}),
      painted: through('ImageUpscaleWithModel', { mask: ['1', 1] }),
      'from another output': made({
        1: load,
        2: save('1'),
        3: { class_type: 'MaskToImage', inputs: { mask: ['1', 1] } },
      }),
      'not of the source': made({
        1: load,
        2: { class_type: 'EmptyImage', inputs: {} },
        3: save('2'),
      }),
    })) {
      assert.equal(alphaWay(workflow), null, what);
      assert.equal(keepsTransparency(workflow), false, what);
      assert.deepEqual(bind(workflow, { ...binding, joinsAlpha: true }), bind(workflow, binding));
    }
    assert.equal(keepsTransparency(through('ImageScaleBy', { scale_by: 2 })), true);
  });

  it('is left to a graph that joins it by itself', () => {
    const workflow = through('JoinImageWithAlpha', { alpha: ['1', 1] });
    assert.deepEqual([alphaWay(workflow), keepsTransparency(workflow)], [null, true]);
  });
});
