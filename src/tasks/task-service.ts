import { GatewayError } from '../core/errors.ts';
import type { NewTask, TaskOutput, TaskState } from '../core/task.ts';
import { hasEnded } from '../core/task.ts';
import type { Workflow } from '../core/workflow.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { TaskLog } from '../telemetry/task-log.ts';
import { toStoreError } from './errors.ts';
import type { TaskStore, TaskWithStages } from './task-store.ts';

/** A task as dialects show it. */
export interface TaskView extends Omit<TaskWithStages, 'output'> {
  readonly output: (TaskOutput & { readonly url: string }) | null;
}

export interface TaskServiceParts {
  readonly tasks: TaskStore;
  readonly store: Pick<ObjectStore, 'urlOf'>;
  readonly workflows: {
    readonly names: readonly string[];
    find(name: string): Workflow | null;
  };
  /** Refuses, at the door, a source that could never be fetched. */
  readonly checkSource: (url: string) => void;
  readonly log: TaskLog;
}

/** Counting reads a whole index; people who watch the pool ask often. */
const countsHoldMs = 1_000;

/** What every dialect calls. */
export class TaskService {
  readonly #parts: TaskServiceParts;
  #counts: { readonly at: number; readonly value: Promise<Record<TaskState, number>> } | null =
    null;

  constructor(parts: TaskServiceParts) {
    this.#parts = parts;
  }

  /**
   * Takes a task on. When this returns, its record is kept.
   *
   * @throws GatewayError `workflow_unknown`, `workflow_mismatch`, `source_invalid`, `source_refused`,
   *   `unavailable`.
   */
  async submit(task: NewTask): Promise<TaskView> {
    const { tasks, checkSource, log } = this.#parts;
    this.#checkWorkflow(task);
    checkSource(task.source.url);
    const accepted = await reaching(tasks.insert(task));
    log.taskAccepted(accepted);
    return this.#view({ ...accepted, stages: [] });
  }

  /** @throws GatewayError `task_not_found`, also for a task of another dialect. */
  async find(id: string, dialect: string): Promise<TaskView> {
    const task = await reaching(this.#parts.tasks.find(id, dialect));
    if (!task) throw notFound();
    return this.#view(task);
  }

  async newest(limit: number): Promise<TaskView[]> {
    const tasks = await reaching(this.#parts.tasks.newest(limit));
    return tasks.map((task) => this.#view(task));
  }

  /**
   * Cancels the task; one that was canceled before stays so.
   *
   * @throws GatewayError `task_not_found`; `task_already_ended` when it completed or failed.
   */
  async cancel(id: string, dialect: string): Promise<void> {
    const state = await reaching(this.#parts.tasks.cancel(id, dialect));
    if (!state) throw notFound();
    if (state !== 'canceled' && hasEnded(state)) {
      throw new GatewayError('task_already_ended', `The task has already ${state}`);
    }
    this.#parts.log.taskCanceled(id);
  }

  /** How many tasks are in each state, as of the last second. */
  async countByState(): Promise<Record<TaskState, number>> {
    const now = Date.now();
    if (!this.#counts || now - this.#counts.at > countsHoldMs) {
      this.#counts = { at: now, value: reaching(this.#parts.tasks.countByState()) };
      // A failed count is not kept for those who ask next.
      this.#counts.value.catch(() => {
        this.#counts = null;
      });
    }
    return await this.#counts.value;
  }

  #checkWorkflow({ workflow: name, kind }: NewTask): void {
    const { workflows } = this.#parts;
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
