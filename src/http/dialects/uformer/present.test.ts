import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Stage } from '../../../core/stage.ts';
import type { TaskView } from '../../../tasks/task-service.ts';
import { presentCacheStatus, presentStatus, secretOf } from './present.ts';

const id = 'a1b2c3d4-e5f6-4890-a1b2-c3d4e5f67890';
const waiting = {
  id,
  kind: 'image',
  state: 'pending',
  params: { task_type: 'denoise', model_name: 'denoise_b', file_name: '照片' },
  stages: [],
  outputs: [],
  error: null,
  runAfter: null,
  finishedAt: null,
} as unknown as TaskView;

const stages = [
  { name: 'download', state: 'success', progress: 100 },
  { name: 'process', state: 'running', progress: 50 },
  { name: 'upload', state: 'pending', progress: 0 },
] as unknown as Stage[];

const completed = {
  ...waiting,
  state: 'completed',
  finishedAt: new Date(1_678_886_400_900),
  outputs: [{ key: 'a/photo-2.png' }],
} as unknown as TaskView;

describe('presentStatus', () => {
  it('has exactly the documented fields in every state', () => {
    const message = 'Waiting for a free GPU...';
    assert.deepEqual(presentStatus(waiting, false), { status: 'pending', progress: 0, message });
    assert.deepEqual(presentStatus({ ...waiting, runAfter: new Date() }, false), {
      status: 'pending',
      progress: 0,
      message: 'Waiting for another try...',
    });
    assert.deepEqual(presentStatus({ ...waiting, state: 'processing', stages }, false), {
      status: 'processing',
      progress: 50,
      message: 'Processing...',
    });
    const error = {
      code: 'media_corrupt',
      message: 'It is damaged',
      stage: null,
      attempt: 1,
    } as const;
    assert.deepEqual(presentStatus({ ...waiting, state: 'failed', error }, false), {
      status: 'failed',
      error: 'It is damaged',
    });
    assert.deepEqual(presentStatus({ ...waiting, state: 'canceled' }, false), {
      status: 'failed',
      error: 'The task was canceled',
    });
  });

  it('names a result by when it was ready, by its task and by its file', () => {
    const result_path =
      '/static_results/images/denoise/processed/1678886400_a1b2c3d4_%E7%85%A7%E7%89%87.png';
    assert.deepEqual(presentStatus(completed, false), { status: 'completed', result_path });
    assert.deepEqual(presentStatus(completed, true), {
      status: 'completed',
      result_path: `${result_path}?id=${id}`,
    });
  });

  it('opens it without a key by the bits of its address, or by the id where it has none', () => {
    const secret = '0123456789abcdef0123456789abcdef';
    const outputs = [{ key: `${id.replaceAll('-', '')}/${secret}/photo.png` }];
    const task = { ...completed, outputs } as unknown as TaskView;
    assert.match(JSON.stringify(presentStatus(task, true)), new RegExp(`\\.png\\?id=${secret}"`));
    assert.equal(secretOf(task), secret);
    assert.equal(secretOf(completed), id);
  });
});

describe('presentCacheStatus', () => {
  it('tells megabytes, and none of what is not there', () => {
    const usage = [{ kind: 'video', storedBytes: 1_600_000, count: 1 }] as const;
    assert.deepEqual(presentCacheStatus(usage), { image_cache_mb: 0, video_cache_mb: 1.53 });
  });
});
