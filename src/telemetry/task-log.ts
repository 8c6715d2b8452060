import type { Claim } from '../core/attempt.ts';
import { withoutSecret } from '../core/result-key.ts';
import type { Source, Task } from '../core/task.ts';
import type { TaskEvent } from '../core/task-event.ts';
import { withoutQuery } from '../core/without-query.ts';
import { AttemptLog, type Seated } from './attempt-log.ts';
import type { Logger } from './logger.ts';
import type { ObservedTask, TaskObserver } from './task-observer.ts';

/** What a move did, and to which task. */
export interface Happened {
  readonly event: TaskEvent;
  readonly task: ObservedTask & Pick<Task, 'id' | 'workflowHash' | 'sources'>;
}

/** What is logged of tasks, and told to those who observe them. */
export class TaskLog {
  readonly #logger: Logger;
  readonly #observer: TaskObserver;

  constructor(logger: Logger, observer: TaskObserver) {
    this.#logger = logger;
    this.#observer = observer;
  }

  /** A move of this gateway has been committed. */
  observe({ event, task }: Happened): void {
    const { id: taskId } = task;
    // What led to a failure was told with the last attempt.
    const { message: _, ...details } = event.body;
    switch (event.kind) {
      case 'submitted':
        this.#logger.info({ task: taskId, ...described(task) }, 'task.accepted');
        this.#observer.submitted(task);
        break;
      case 'completed':
        this.#logger.info({ task: taskId, ...details }, 'task.completed');
        this.#observer.ended(task, 'completed');
        break;
      case 'failed':
      case 'rejected':
        this.#logger.info({ task: taskId, ...details }, 'task.failed');
        this.#observer.ended(task, 'failed');
        break;
      case 'expired':
        this.#logger.info({ task: taskId }, 'task.expired');
        this.#observer.ended(task, 'expired');
        break;
      case 'canceled':
        this.#logger.info({ task: taskId }, 'task.canceled');
        this.#observer.ended(task, 'canceled');
        break;
      default:
    }
  }

  /** For all that happens to an attempt. */
  attempt(claim: Claim, seat: Seated): AttemptLog {
    return new AttemptLog(this.#logger, claim, seat);
  }

  /** Before it has a seat. */
  attemptAdopted({ task, attempt }: Claim): void {
    const { number, backend, promptId: prompt } = attempt;
    this.#logger.info({ task: task.id, attempt: number, backend, prompt }, 'attempt.adopted');
  }

  dispatchFailed(error: unknown): void {
    this.#logger.error({ err: error }, 'dispatch.failed');
  }

  eventSweepFailed(error: unknown): void {
    this.#logger.warn({ err: error }, 'events.sweep-failed');
  }

  recoveryFailed(error: unknown): void {
    this.#logger.error({ err: error }, 'recovery.failed');
  }
}

function described({ dialect, workflow, workflowHash, sources }: Happened['task']) {
  return { dialect, workflow, hash: workflowHash.slice(0, 12), sources: sources.map(addressOf) };
}

function addressOf({ url }: Source): string {
  return withoutSecret(withoutQuery(url));
}
