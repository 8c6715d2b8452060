import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { ObservedTask, TaskEnd, TaskObserver } from '../../../telemetry/task-observer.ts';
import { taskNameOf } from './parse.ts';

/** The words of the `status` label. */
const statusOf = {
  completed: 'success',
  failed: 'failure',
  expired: 'timeout',
  canceled: 'revoked',
} as const satisfies Record<TaskEnd, string>;

/** What is not counted but read when somebody asks. */
export interface MetricReadings {
  readonly activeWorkers: number;
  /** Waiting tasks, by queue. */
  readonly queueDepths: ReadonlyMap<string, number>;
  /** Percent of the time that a GPU has work, by GPU. */
  readonly gpuUtilization: ReadonlyMap<string, number>;
}

/** Everything that works is a GPU. */
const workerType = 'gpu';
const durationBuckets = [0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1_800, 3_600];
const queueTimeBuckets = [0.1, 0.5, 1, 2.5, 5, 10, 15, 20, 25, 30, 60, 300, 1_800];

/** Counts and times the tasks of this dialect, for Prometheus. */
export class TaskMetrics implements TaskObserver {
  readonly #registry = new Registry();
  readonly #submitted = new Counter({
    name: 'tasks_submitted_total',
    help: 'Total number of tasks submitted',
    labelNames: ['task_name'],
    registers: [this.#registry],
  });
  readonly #completed = new Counter({
    name: 'tasks_completed_total',
    help: 'Total number of tasks completed',
    labelNames: ['task_name', 'status'],
    registers: [this.#registry],
  });
  readonly #timedOut = new Counter({
    name: 'tasks_timeout_total',
    help: 'Total number of tasks that exceeded the queue timeout',
    labelNames: ['task_name'],
    registers: [this.#registry],
  });
  readonly #duration = new Histogram({
    name: 'task_duration_seconds',
    help: 'Task execution duration in seconds',
    labelNames: ['task_name', 'worker_type'],
    buckets: durationBuckets,
    registers: [this.#registry],
  });
  readonly #queueTime = new Histogram({
    name: 'task_queue_time_seconds',
    help: 'Time that tasks spent in the queue in seconds',
    labelNames: ['queue_name'],
    buckets: queueTimeBuckets,
    registers: [this.#registry],
  });
  readonly #activeWorkers = new Gauge({
    name: 'active_workers',
    help: 'Number of workers in service',
    labelNames: ['worker_type'],
    registers: [this.#registry],
  });
  readonly #queueDepth = new Gauge({
    name: 'queue_depth',
    help: 'Number of tasks that wait in the queue',
    labelNames: ['queue_name'],
    registers: [this.#registry],
  });
  readonly #gpuUtilization = new Gauge({
    name: 'gpu_utilization_percent',
    help: 'Share of the last five minutes in which the GPU ran a task, in percent',
    labelNames: ['gpu_id'],
    registers: [this.#registry],
  });

  /** `names`: under which tasks may be submitted. Their counters stand at 0 from the start. */
  constructor(names: Iterable<string>) {
    // A series that begins with its first event has no rate for it.
    for (const task_name of names) {
      this.#submitted.inc({ task_name }, 0);
      this.#timedOut.inc({ task_name }, 0);
      for (const status of Object.values(statusOf)) this.#completed.inc({ task_name, status }, 0);
      this.#duration.zero({ task_name, worker_type: workerType });
    }
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  submitted(task: ObservedTask): void {
    const task_name = taskNameOf(task);
    if (task_name !== null) this.#submitted.inc({ task_name });
  }

  /** A task's queue is its workflow. */
  ended(task: ObservedTask, end: TaskEnd, now = Date.now()): void {
    const task_name = taskNameOf(task);
    if (task_name === null) return;
    const { createdAt, startedAt, workflow: queue_name } = task;
    this.#completed.inc({ task_name, status: statusOf[end] });
    if (end === 'expired') this.#timedOut.inc({ task_name });
    // Whoever gave up waiting says nothing of how long the queue takes; whom it was too long for does.
    const leftAt = startedAt?.getTime() ?? (end === 'expired' ? now : null);
    if (leftAt !== null) this.#queueTime.observe({ queue_name }, since(createdAt, leftAt));
    if (startedAt && (end === 'completed' || end === 'failed')) {
      this.#duration.observe({ task_name, worker_type: workerType }, since(startedAt, now));
    }
  }

  /** In Prometheus's text format. */
  async expose({ activeWorkers, queueDepths, gpuUtilization }: MetricReadings): Promise<string> {
    this.#activeWorkers.set({ worker_type: workerType }, activeWorkers);
    // What is not there any more has no depth.
    this.#queueDepth.reset();
    for (const [queue_name, depth] of queueDepths) this.#queueDepth.set({ queue_name }, depth);
    this.#gpuUtilization.reset();
    for (const [gpu_id, percent] of gpuUtilization) this.#gpuUtilization.set({ gpu_id }, percent);
    return withDecimals(await this.#registry.metrics());
  }
}

/** Seconds; the database's clock began it, and ours may be off a little. */
function since(from: Date, now: number): number {
  return Math.max(0, now - from.getTime()) / 1_000;
}

/** `le="5"` as `le="5.0"`: so other exporters write it, and queries name it. */
function withDecimals(text: string): string {
  return text.replaceAll(/\ble="(\d+)"/g, 'le="$1.0"');
}
