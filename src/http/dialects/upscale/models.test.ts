import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Workflow, WorkflowInput, WorkflowOutput } from '../../../core/workflow.ts';
import { listModels, scalesOf, workflowFor } from './models.ts';

const input = (change: Partial<WorkflowInput> = {}): WorkflowInput => ({
  name: 'image',
  kind: 'image',
  slot: { node: '1', field: 'image' },
  isRequired: true,
  description: null,
  ...change,
});
const output: WorkflowOutput = {
  name: 'result',
  kind: 'image',
  node: '3',
  prefixField: null,
  pictures: null,
};

function workflow(name: string, change: Partial<Workflow> = {}): Workflow {
  return {
    name,
    hash: 'f00',
    graph: {},
    kind: 'image',
    title: null,
    description: null,
    aliases: [name],
    scale: 4,
    inputs: [input()],
    outputs: [output],
    parameters: [],
    resolution: null,
    timeouts: {},
    ...change,
  };
}

describe('models', () => {
  const anime = [
    workflow('anime_2x', { aliases: ['Anime', 'anime-fast'], scale: 2, title: 'For drawings' }),
    workflow('anime_4x', { aliases: ['anime'], description: 'Later' }),
  ];

  it('are all the workflows of one name', () => {
    const [model, ...others] = listModels(anime);
    assert.deepEqual(others, []);
    assert.equal(model?.name.toLowerCase(), 'anime');
    assert.equal(model?.description, 'For drawings');
    assert.deepEqual(model?.scales, [2, 3, 4]);
  });

  it('work with the scale that was asked for, or else with the next larger one', () => {
    const chosen = ([2, 3, 4] as const).map((scale) => workflowFor('ANIME', scale, anime)?.name);
    assert.deepEqual(chosen, ['anime_2x', 'anime_4x', 'anime_4x']);
    const larger = [
      workflow('a8', { aliases: ['a'], scale: 8 }),
      workflow('a4', { aliases: ['a'] }),
    ];
    assert.equal(workflowFor('a', 2, larger)?.name, 'a4');
    assert.deepEqual(scalesOf('anime-fast', anime), [2]);
    assert.equal(workflowFor('anime-fast', 3, anime), null);
    assert.equal(workflowFor('other', 2, anime), null);
  });

  it('begin with the usual one', () => {
    const names = ['zero', 'realesrgan-x4plus', 'best'].map((name) => workflow(name));
    assert.deepEqual(
      listModels(names).map(({ name }) => name),
      ['realesrgan-x4plus', 'zero', 'best'],
    );
  });

  it('are none that make nothing larger, or of something else than one picture', () => {
    const clip = input({ kind: 'video' });
    const others = [
      workflow('same_size', { scale: 1 }),
      workflow('unknown_size', { scale: null }),
      workflow('clip', { kind: 'video', inputs: [clip] }),
      workflow('with_mask', { inputs: [input(), input({ name: 'mask' })] }),
      workflow('to_clip', { outputs: [{ ...output, kind: 'video' }] }),
      workflow('of_nothing', { inputs: [] }),
      workflow('nameless', { aliases: [] }),
    ];
    assert.deepEqual(listModels(others), []);
    const optional = [input(), input({ name: 'mask', isRequired: false })];
    assert.equal(listModels([workflow('a', { inputs: optional })]).length, 1);
  });
});
