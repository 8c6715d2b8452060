import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { plan, type RunState, taskState } from './run.ts';
import { sizeAsTheWorkflowGives } from './size-plan.ts';
import type { TaskState } from './task.ts';

describe('plan', () => {
  it('gives a task one run, of what it asked for', () => {
    const asked = {
      kind: 'image',
      workflow: 'esrgan_image_4x',
      workflowHash: 'f00',
      sources: [{ input: 'image', url: 'https://example.com/a.png', name: 'a' }],
      arguments: { seed: 7 },
      size: { ...sizeAsTheWorkflowGives, outscale: 2 },
    } as const;
    assert.deepEqual(plan({ ...asked, ...{ tenant: 'no part of it' } }), [asked]);
  });
});

describe('taskState', () => {
  const table: readonly [runs: readonly RunState[], task: TaskState][] = [
    [['pending'], 'pending'],
    [['processing'], 'processing'],
    [['completed'], 'completed'],
    [['failed'], 'failed'],
    [['canceled'], 'canceled'],
    [['pending', 'pending'], 'pending'],
    [['processing', 'pending'], 'processing'],
    [['completed', 'pending'], 'processing'],
    [['completed', 'processing'], 'processing'],
    [['completed', 'completed'], 'completed'],
    [['completed', 'failed'], 'failed'],
    [['processing', 'failed', 'pending'], 'failed'],
    [['canceled', 'completed'], 'canceled'],
    [['canceled', 'failed'], 'canceled'],
  ];
  for (const [runs, task] of table) {
    it(`is ${task} of ${runs.join(', ')}`, () => {
      assert.equal(taskState(runs), task);
      assert.equal(taskState(runs.toReversed()), task);
    });
  }
});
