import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ObservedTask } from '../../../telemetry/task-observer.ts';
import { TaskMetrics } from './task-metrics.ts';

const readings = { activeWorkers: 0, queueDepths: new Map(), gpuUtilization: new Map() };
const createdAt = new Date('2025-01-15T10:30:00Z');
const at = (seconds: number): Date => new Date(createdAt.getTime() + seconds * 1_000);

function task(startedAt: Date | null, dialect = 'task-manager'): ObservedTask {
  return { dialect, params: { task_name: 'enlarge' }, workflow: 'x4', createdAt, startedAt };
}

function metrics(): TaskMetrics {
  return new TaskMetrics(['enlarge']);
}

/** The lines of one metric, without its buckets. */
async function linesOf(of: TaskMetrics, name: string): Promise<string[]> {
  const lines = (await of.expose(readings)).split('\n');
  return lines.filter((line) => line.startsWith(name) && !line.includes('_bucket'));
}

describe('TaskMetrics', () => {
  it('has every counter at 0 before anything has happened', async () => {
    assert.deepEqual(await linesOf(metrics(), 'tasks_'), [
      'tasks_submitted_total{task_name="enlarge"} 0',
      'tasks_completed_total{task_name="enlarge",status="success"} 0',
      'tasks_completed_total{task_name="enlarge",status="failure"} 0',
      'tasks_completed_total{task_name="enlarge",status="timeout"} 0',
      'tasks_completed_total{task_name="enlarge",status="revoked"} 0',
      'tasks_timeout_total{task_name="enlarge"} 0',
    ]);
  });

  it('times a task from when it was begun, and its waiting before that', async () => {
    const measured = metrics();
    measured.submitted(task(null));
    measured.ended(task(at(2)), 'completed', at(6).getTime());
    assert.deepEqual(await linesOf(measured, 'task_'), [
      'task_duration_seconds_sum{task_name="enlarge",worker_type="gpu"} 4',
      'task_duration_seconds_count{task_name="enlarge",worker_type="gpu"} 1',
      'task_queue_time_seconds_sum{queue_name="x4"} 2',
      'task_queue_time_seconds_count{queue_name="x4"} 1',
    ]);
    const text = await measured.expose(readings);
    assert.match(text, /^task_duration_seconds_bucket\{le="2\.5",.*\} 0$/m);
    assert.match(text, /^task_duration_seconds_bucket\{le="5\.0",.*\} 1$/m);
    assert.match(text, /^task_duration_seconds_bucket\{le="\+Inf",.*\} 1$/m);
  });

  it('counts the whole wait of a task that it was too long for, and none of one that gave up', async () => {
    const measured = metrics();
    measured.ended(task(null), 'expired', at(30).getTime());
    measured.ended(task(null), 'canceled', at(10).getTime());
    assert.deepEqual(await linesOf(measured, 'task_queue'), [
      'task_queue_time_seconds_sum{queue_name="x4"} 30',
      'task_queue_time_seconds_count{queue_name="x4"} 1',
    ]);
    assert.deepEqual(await linesOf(measured, 'tasks_timeout'), [
      'tasks_timeout_total{task_name="enlarge"} 1',
    ]);
    assert.deepEqual(await linesOf(measured, 'task_duration'), [
      'task_duration_seconds_sum{task_name="enlarge",worker_type="gpu"} 0',
      'task_duration_seconds_count{task_name="enlarge",worker_type="gpu"} 0',
    ]);
  });

  it('takes no time to be below zero, whatever the clocks say', async () => {
    const measured = metrics();
    measured.ended(task(at(2)), 'failed', at(1).getTime());
    assert.match((await linesOf(measured, 'task_duration'))[0] ?? '', / 0$/);
  });

  it('leaves tasks of other dialects out', async () => {
    const measured = metrics();
    measured.submitted(task(null, 'tmlsr'));
    measured.ended(task(at(1), 'tmlsr'), 'completed', at(2).getTime());
    assert.deepEqual(await measured.expose(readings), await metrics().expose(readings));
  });

  it('forgets the queues and GPUs that are not there any more', async () => {
    const measured = metrics();
    const gpu = 'http://a:8188/"x" le="5"';
    const queueDepths = new Map([['old', 3]]);
    const before = await measured.expose({
      activeWorkers: 2,
      queueDepths,
      gpuUtilization: new Map([[gpu, 12.5]]),
    });
    assert.match(before, /^active_workers\{worker_type="gpu"\} 2$/m);
    assert.match(before, /^queue_depth\{queue_name="old"\} 3$/m);
    assert.ok(
      before.includes('gpu_utilization_percent{gpu_id="http://a:8188/\\"x\\" le=\\"5\\""} 12.5'),
    );
    const after = await measured.expose({ ...readings, queueDepths: new Map([['new', 1]]) });
    assert.match(after, /^queue_depth\{queue_name="new"\} 1$/m);
    assert.doesNotMatch(after, /queue_name="old"|gpu_id/);
  });
});
