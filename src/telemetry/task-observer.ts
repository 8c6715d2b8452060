import type { Task } from '../core/task.ts';

/** How a task came to its end. */
export type TaskEnd = 'completed' | 'failed' | 'expired' | 'canceled';

export type ObservedTask = Pick<
  Task,
  'dialect' | 'params' | 'workflow' | 'createdAt' | 'startedAt'
>;

/**
 * Hears of tasks. Whoever changes a task's state tells of it, once: what several gateways hear adds up to
 * the whole.
 */
export interface TaskObserver {
  submitted(task: ObservedTask): void;
  /** The task, as it was when somebody last looked, has ended, just now or then. */
  ended(task: ObservedTask, end: TaskEnd, now?: number): void;
}

/** Several observers as one; they may come later than those who tell them. */
export class TaskObservers implements TaskObserver {
  readonly #all: TaskObserver[] = [];

  add(observer: TaskObserver): void {
    this.#all.push(observer);
  }

  submitted(task: ObservedTask): void {
    for (const observer of this.#all) observer.submitted(task);
  }

  ended(task: ObservedTask, end: TaskEnd, now = Date.now()): void {
    for (const observer of this.#all) observer.ended(task, end, now);
  }
}
