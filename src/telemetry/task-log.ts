import type { Claim } from '../core/attempt.ts';
import type { Source, Task } from '../core/task.ts';
import { withoutQuery } from '../core/without-query.ts';
import { AttemptLog, type Seated } from './attempt-log.ts';
import type { Logger } from './logger.ts';
import type { TaskObserver } from './task-observer.ts';

/** One function for each thing that happens to a task: it is logged, and observers hear of it. */
export class TaskLog {
  readonly #logger: Logger;
  readonly #observer: TaskObserver;

  constructor(logger: Logger, observer: TaskObserver) {
    this.#logger = logger;
    this.#observer = observer;
  }

  taskAccepted(task: Task): void {
    const { id, dialect, workflow, workflowHash, sources } = task;
    const hash = workflowHash.slice(0, 12);
    const fields = { task: id, dialect, workflow, hash, sources: sources.map(addressOf) };
    this.#logger.info(fields, 'task.accepted');
    this.#observer.submitted(task);
  }

  taskCanceled(task: Task): void {
    this.#logger.info({ task: task.id }, 'task.canceled');
    this.#observer.ended(task, 'canceled');
  }

  /** For all that happens to an attempt. */
  attempt(claim: Claim, seat: Seated): AttemptLog {
    return new AttemptLog(this.#logger, this.#observer, claim, seat);
  }

  /** Before it has a seat. */
  attemptAdopted({ task, attempt }: Claim): void {
    const { number, backend, promptId: prompt } = attempt;
    this.#logger.info({ task: task.id, attempt: number, backend, prompt }, 'attempt.adopted');
  }

  taskExpired(task: Task): void {
    this.#logger.info({ task: task.id }, 'task.expired');
    this.#observer.ended(task, 'expired');
  }

  dispatchFailed(error: unknown): void {
    this.#logger.error({ err: error }, 'dispatch.failed');
  }

  recoveryFailed(error: unknown): void {
    this.#logger.error({ err: error }, 'recovery.failed');
  }
}

function addressOf({ url }: Source): string {
  return withoutQuery(url);
}
