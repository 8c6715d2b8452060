import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { BackendView } from '../../../core/backend.ts';
import type { Workflow } from '../../../core/workflow.ts';
import { modelsOf, presentModels, presentUnloaded } from './models.ts';

const workflows = [
  { name: 'picture', kind: 'image', aliases: ['denoise_b', 'other'] },
  { name: 'clip', kind: 'video', aliases: ['denoise_b'] },
  { name: 'sharp', kind: 'image', aliases: ['Deblur_B'] },
] as unknown as Workflow[];
const models = modelsOf(workflows);

function warm(...names: (string | null)[]): BackendView[] {
  return names.map((name) => ({ report: { warm: name } }) as BackendView);
}

describe('models', () => {
  it('are loaded where the last prompt of a backend was of one of their workflows', () => {
    const loadedWith = (...names: (string | null)[]) =>
      presentModels(models, [...warm(...names), { report: null } as BackendView]);
    assert.deepEqual(loadedWith('clip', null), [
      { name: 'Deblur_B', loaded: false },
      { name: 'denoise_b', loaded: true },
    ]);
    assert.ok(loadedWith('elsewhere').every(({ loaded }) => !loaded));
  });

  it('count as unloaded when they were in memory and are in none any more', () => {
    const names = ['DENOISE_B', 'deblur_b', 'unknown'];
    const outcome = { unloaded: ['picture', 'sharp'], held: ['clip'] };
    assert.deepEqual(presentUnloaded(names, models, outcome), {
      unloaded_models: ['deblur_b'],
      skipped_models: ['DENOISE_B', 'unknown'],
    });
  });
});
