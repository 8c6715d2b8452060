import type { Fitness } from '../core/backend.ts';
import { GatewayError } from '../core/errors.ts';
import { expectedWaitMs, type Waiting } from '../core/expected-wait.ts';
import type { NewTask, TaskOutput } from '../core/task.ts';
import { hasEnded } from '../core/task.ts';
import type { Timeouts, Workflow } from '../core/workflow.ts';
import type { Notices } from '../db/notices.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { TaskLog } from '../telemetry/task-log.ts';
import { toStoreError } from './errors.ts';
import { countedAtMost, type QueueStats, type StateCounts, totals } from './queue-stats.ts';
import type { TaskOwner, TaskStore, TaskWithStages } from './task-store.ts';

/** A task as dialects show it. */
export interface TaskView extends Omit<TaskWithStages, 'output'> {
  readonly output: (TaskOutput & { readonly url: string }) | null;
}

/** Where a task stands in the queue. */
export interface QueuePlace {
  /** 1 is the next to be begun; 1000 stands for anything from there on. */
  readonly position: number;
  /** `null` while nothing is known of how long its predecessors take. */
  readonly expectedStart: Date | null;
}

/** A workflow as people who watch the pool see it. */
export interface WorkflowView {
  readonly name: string;
  readonly counts: StateCounts;
  /** Median time on the GPU of its last runs, milliseconds. */
  readonly durationMs: number | null;
  /** How long a new task would wait, milliseconds. */
  readonly expectedWaitMs: number | null;
  readonly runsOn: number;
  readonly of: number;
  /** By backend, why it does not run there. */
  readonly whyNot: Readonly<Record<string, readonly string[]>>;
}

export interface TaskServiceParts {
  readonly tasks: TaskStore;
  readonly stats: QueueStats;
  readonly store: Pick<ObjectStore, 'urlOf'>;
  readonly workflows: {
    readonly names: readonly string[];
    find(name: string): Workflow | null;
    all(): Iterable<Workflow>;
  };
  readonly pool: { fitness(workflow: Workflow): Fitness };
  readonly notices: Notices;
  /** For workflows that have none of their own, milliseconds. */
  readonly timeouts: Required<Timeouts>;
  /** Refuses, at the door, a source that could never be fetched. */
  readonly checkSource: (url: string) => void;
  readonly log: TaskLog;
}

const nobody: StateCounts = { pending: 0, processing: 0, completed: 0, failed: 0, canceled: 0 };

/** What every dialect calls. */
export class TaskService {
  readonly #parts: TaskServiceParts;

  constructor(parts: TaskServiceParts) {
    this.#parts = parts;
  }

  /**
   * Takes a task on. When this returns, its record is kept.
   *
   * @throws GatewayError `workflow_unknown`, `workflow_mismatch`, `workflow_unavailable`,
   *   `source_invalid`, `source_refused`, `unavailable`.
   */
  async submit(task: NewTask): Promise<TaskView> {
    const { tasks, checkSource, notices, timeouts, log } = this.#parts;
    const workflow = this.#workflowFor(task);
    checkSource(task.source.url);
    const { queueMs, runMs } = { ...timeouts, ...workflow.timeouts };
    const limits = { queueTimeoutMs: queueMs, runTimeoutMs: runMs };
    const accepted = await reaching(tasks.insert({ ...limits, ...task }));
    // The database tells everyone; here it is known already.
    notices.emit('ready');
    log.taskAccepted(accepted);
    return this.#view({ ...accepted, stages: [] });
  }

  /** @throws GatewayError `task_not_found`, also for a task of another owner. */
  async find(id: string, owner: TaskOwner): Promise<TaskView> {
    const task = await reaching(this.#parts.tasks.find(id, owner));
    if (!task) throw notFound();
    return this.#view(task);
  }

  /** Where the task stands in the queue; `null` when it does not wait. */
  async placeOf(task: TaskView): Promise<QueuePlace | null> {
    if (task.state !== 'pending') return null;
    const { stats, workflows, pool } = this.#parts;
    const [ahead, durations] = await reaching(Promise.all([stats.ahead(task), stats.durations()]));
    const count = ahead.reduce((sum, each) => sum + each.count, 0);
    const workflow = workflows.find(task.workflow);
    const backends = workflow ? pool.fitness(workflow).inService : 0;
    const waitMs = count < countedAtMost ? expectedWaitMs(ahead, durations, backends) : null;
    return {
      position: Math.min(count + 1, countedAtMost),
      expectedStart: waitMs === null ? null : this.#notBefore(task, waitMs),
    };
  }

  /** The newest tasks of the tenant, or of all of them. */
  async newest(limit: number, tenant: string | null): Promise<TaskView[]> {
    const tasks = await reaching(this.#parts.tasks.newest(limit, tenant));
    return tasks.map((task) => this.#view(task));
  }

  /**
   * Cancels the task; one that was canceled before stays so.
   *
   * @throws GatewayError `task_not_found`; `task_already_ended` when it completed or failed.
   */
  async cancel(id: string, owner: TaskOwner): Promise<void> {
    const state = await reaching(this.#parts.tasks.cancel(id, owner));
    if (!state) throw notFound();
    if (state !== 'canceled' && hasEnded(state)) {
      throw new GatewayError('task_already_ended', `The task has already ${state}`);
    }
    this.#parts.log.taskCanceled(id);
  }

  /** How many tasks are in each state, as of the last second. */
  async countByState(): Promise<StateCounts> {
    return totals(await reaching(this.#parts.stats.counts()));
  }

  /** Every workflow with its queue and where it runs. */
  async workflows(): Promise<WorkflowView[]> {
    const { stats, workflows, pool } = this.#parts;
    const [counts, durations] = await reaching(Promise.all([stats.counts(), stats.durations()]));
    const waiting: Waiting[] = [...counts].map(([workflow, { pending }]) => ({
      workflow,
      count: pending,
    }));
    return [...workflows.all()].map((workflow) => {
      const { able, inService, unable, total } = pool.fitness(workflow);
      return {
        name: workflow.name,
        counts: counts.get(workflow.name) ?? nobody,
        durationMs: durations.get(workflow.name) ?? null,
        expectedWaitMs: expectedWaitMs(waiting, durations, inService),
        runsOn: able,
        of: total,
        whyNot: Object.fromEntries(unable),
      };
    });
  }

  #workflowFor({ workflow: name, kind }: NewTask): Workflow {
    const { workflows, pool } = this.#parts;
    const workflow = workflows.find(name);
    if (!workflow) {
      const known = workflows.names.join(', ') || 'none';
      throw new GatewayError('workflow_unknown', `There is no workflow ${name}; known: ${known}`, {
        field: 'workflow',
      });
    }
    if (workflow.kind !== kind) {
      throw new GatewayError(
        'workflow_mismatch',
        `The workflow ${name} works on ${workflow.kind}s, the task is for ${kind}s`,
        { field: 'type' },
      );
    }
    const { able, unable, total } = pool.fitness(workflow);
    const [reasons] = unable.values();
    // Of a backend that was never reached it is not known what it can run.
    if (able === 0 && reasons && unable.size === total) {
      throw new GatewayError(
        'workflow_unavailable',
        `No ComfyUI server can run the workflow ${name}: ${reasons.join('. ')}`,
        { field: 'workflow' },
      );
    }
    return workflow;
  }

  #notBefore({ runAfter }: TaskView, waitMs: number): Date {
    return new Date(Math.max(Date.now() + waitMs, runAfter?.getTime() ?? 0));
  }

  #view(task: TaskWithStages): TaskView {
    const { output } = task;
    return { ...task, output: output && { ...output, url: this.#parts.store.urlOf(output.key) } };
  }
}

async function reaching<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw toStoreError(error);
  }
}

function notFound(): GatewayError {
  return new GatewayError('task_not_found', 'There is no such task');
}
