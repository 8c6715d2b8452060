import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Stage, StageState } from '../../../core/stage.ts';
import { stageNames } from '../../../core/stage.ts';
import type { TaskOutput } from '../../../core/task.ts';
import type { TaskView } from '../../../tasks/task-service.ts';
import { classify, presentAccepted, presentTask as presentAt } from './present.ts';
import { managedTask, taskAccepted } from './schema.ts';

const at = new Date('2025-01-15T10:30:00.987Z');

function stage(name: Stage['name'], state: StageState, progress = 0): Stage {
  return { name, state, progress, detail: null, startedAt: null, finishedAt: null };
}

function task(
  state: TaskView['state'],
  states: readonly [StageState, StageState, StageState],
  change: Partial<TaskView> = {},
): TaskView {
  return {
    id: '550e8400-e29b-41d4-a716-446655440000',
    state,
    stages: stageNames.map((name, index) => stage(name, states[index] as StageState)),
    sources: [{ input: 'image', url: 'https://example.com/a.png' }],
    outputs: [],
    error: null,
    createdAt: at,
    startedAt: at,
    finishedAt: null,
    removedAt: null,
    ...change,
  } as TaskView;
}

const size = { kind: 'image', format: 'png', width: 1920, height: 1080 } as const;
const output = {
  key: 'k',
  input: size,
  output: null,
  url: 'https://store/k',
  thumbnailUrl: null,
} as unknown as TaskOutput & { url: string; thumbnailUrl: null };

const presentTask = (task: TaskView) => presentAt(task, 'http://gateway');

describe('presentTask', () => {
  it('has a word for each state', () => {
    const failed = { stage: null, attempt: 1, message: 'why' } as const;
    const cases = [
      ['PENDING', task('pending', ['pending', 'pending', 'pending'])],
      ['RECEIVED', task('processing', ['running', 'pending', 'pending'])],
      ['RECEIVED', task('processing', ['success', 'pending', 'pending'])],
      ['STARTED', task('processing', ['success', 'running', 'pending'])],
      ['STARTED', task('processing', ['success', 'success', 'running'])],
      ['SUCCESS', task('completed', ['success', 'success', 'success'])],
      [
        'FAILURE',
        task('failed', ['failed', 'skipped', 'skipped'], {
          error: { ...failed, code: 'media_corrupt' },
        }),
      ],
      [
        'TIMEOUT',
        task('failed', ['skipped', 'skipped', 'skipped'], {
          error: { ...failed, code: 'queue_timeout' },
        }),
      ],
      ['REVOKED', task('canceled', ['success', 'skipped', 'skipped'])],
    ] as const;
    for (const [state, view] of cases) {
      const body = presentTask(view);
      assert.equal(body.state, state);
      assert.deepEqual(managedTask.parse(body), body);
      assert.equal(body.error, state === 'FAILURE' || state === 'TIMEOUT' ? 'why' : null);
      assert.equal(body.result === null, state !== 'SUCCESS');
    }
  });

  it('writes instants as the service did, and none that is still to come', () => {
    const body = presentTask(task('pending', ['pending', 'pending', 'pending']));
    assert.equal(body.submitted_at, '2025-01-15T10:30:00Z');
    assert.equal(body.started_at, null);
    assert.equal(body.completed_at, null);
    const accepted = presentAccepted(task('pending', ['pending', 'pending', 'pending']));
    assert.deepEqual(taskAccepted.strict().parse(accepted), {
      task_id: '550e8400-e29b-41d4-a716-446655440000',
      state: 'PENDING',
      submitted_at: '2025-01-15T10:30:00Z',
    });
  });

  it('hides the error of an attempt that is not the last', () => {
    const error = { code: 'out_of_memory', message: 'x', stage: null, attempt: 1 } as const;
    assert.equal(
      presentTask(task('pending', ['pending', 'pending', 'pending'], { error })).error,
      null,
    );
  });

  it('says how far a task came that ended before its time', () => {
    const stages = [
      stage('download', 'success', 100),
      stage('process', 'skipped', 50),
      stage('upload', 'skipped'),
    ];
    assert.equal(presentTask(task('canceled', ['success', 'skipped', 'skipped'])).progress, 0.1);
    const {
      progress,
      subtasks,
      stages: shown,
    } = presentTask(task('canceled', ['success', 'skipped', 'skipped'], { stages }));
    assert.equal(progress, 0.5);
    assert.deepEqual(subtasks, ['download', 'process', 'upload']);
    assert.deepEqual(
      shown.map(({ name, state, progress }) => [name, state, progress]),
      [
        ['download', 'SUCCESS', 1],
        ['process', 'REVOKED', 0.5],
        ['upload', 'REVOKED', 0],
      ],
    );
    // What was taken from another task is skipped, and done.
    assert.equal(presentTask(task('completed', ['success', 'skipped', 'success'])).progress, 1);
  });

  it('names no object that is not kept any longer', () => {
    const completed = (change: object, removedAt: Date | null) =>
      presentTask(
        task('completed', ['success', 'success', 'success'], {
          outputs: [{ ...output, ...change }],
          removedAt,
        }),
      ).result;
    assert.equal(completed({}, null)?.output_url, 'https://store/k');
    assert.equal(completed({}, at)?.output_url, null);
    const target = 'https://s3.example.com/out.jpg';
    assert.equal(completed({ url: target, deliveredTo: target }, at)?.output_url, target);
    assert.deepEqual(completed({}, null)?.classification, {
      category: 'landscape',
      width: 1920,
      height: 1080,
      aspect_ratio: 1.78,
    });
    assert.equal(completed({ input: null }, null)?.classification, null);
  });
});

describe('classify', () => {
  it('goes by the shape', () => {
    const categoryOf = (width: number, height: number) => classify({ width, height }).category;
    assert.equal(categoryOf(1000, 1000), 'general');
    assert.equal(categoryOf(700, 600), 'general');
    assert.equal(categoryOf(1200, 1000), 'landscape');
    assert.equal(categoryOf(1199, 1000), 'general');
    assert.equal(categoryOf(1000, 1200), 'portrait');
    assert.equal(categoryOf(1000, 1199), 'general');
    assert.equal(categoryOf(3840, 1600), 'landscape');
  });
});
