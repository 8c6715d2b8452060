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
  readonly task: ObservedTask &
    Pick<Task, 'id' | 'workflowHash' | 'sources' | 'tenant' | 'finishedAt'> & {
      /** Of what it stored, bytes. */
      readonly storedBytes: number | null;
    };
}

/** A task's id as its client knows it. */
export type ClientIdOf = (task: Pick<Task, 'dialect' | 'id'>) => string;

/** What is logged of tasks, and told to those who observe them. */
export class TaskLog {
  readonly #logger: Logger;
  readonly #observer: TaskObserver;

  readonly #clientIdOf: ClientIdOf;

  constructor(logger: Logger, observer: TaskObserver, clientIdOf: ClientIdOf = ({ id }) => id) {
    this.#logger = logger;
    this.#observer = observer;
    this.#clientIdOf = clientIdOf;
  }

  /** A move of this gateway has been committed. */
  observe({ event, task }: Happened): void {
    const { tenant, workflow } = task;
    const named = { ...this.#named(task), ...(tenant === '' ? {} : { tenant }), workflow };
    const { message: reason, ...details } = event.body;
    const ended = { ...named, ...timesOf(task) };
    switch (event.kind) {
      case 'submitted':
        this.#logger.info({ ...named, ...described(task) }, 'task.accepted');
        this.#observer.submitted(task);
        break;
      case 'completed':
        this.#logger.info({ ...ended, bytes: task.storedBytes ?? 0, ...details }, 'task.completed');
        this.#observer.ended(task, 'completed');
        break;
      case 'failed':
      case 'rejected':
        this.#logger.info({ ...ended, ...details, reason }, 'task.failed');
        this.#observer.ended(task, 'failed');
        break;
      case 'expired':
        this.#logger.info(ended, 'task.expired');
        this.#observer.ended(task, 'expired');
        break;
      case 'canceled':
        this.#logger.info(ended, 'task.canceled');
        this.#observer.ended(task, 'canceled');
        break;
      default:
    }
  }

  /** For all that happens to an attempt. */
  attempt(claim: Claim, seat: Seated): AttemptLog {
    return new AttemptLog(this.#logger, claim, seat, this.#clientIdOf(claim.task));
  }

  /** Before it has a seat. */
  attemptAdopted({ task, attempt }: Claim): void {
    const { number, backend, promptId: prompt } = attempt;
    const told = { ...this.#named(task), attempt: number, backend, prompt };
    this.#logger.info(told, 'attempt.adopted');
  }

  #named(task: Pick<Task, 'dialect' | 'id'>) {
    return { task: task.id, clientId: this.#clientIdOf(task) };
  }

  dispatchFailed(error: unknown): void {
    this.#logger.error({ err: error }, 'dispatch.failed');
  }

  eventSweepFailed(error: unknown): void {
    this.#logger.warn({ err: error }, 'events.sweep-failed');
  }

  /** Of so many tasks nothing is known any more. */
  recordsRemoved(tasks: number): void {
    this.#logger.info({ tasks }, 'records.removed');
  }

  recordSweepFailed(error: unknown): void {
    this.#logger.warn({ err: error }, 'records.sweep-failed');
  }

  recoveryFailed(error: unknown): void {
    this.#logger.error({ err: error }, 'recovery.failed');
  }
}

/** How long it waited, and how long it took from when it was begun. */
function timesOf({ createdAt, startedAt, finishedAt }: Happened['task']) {
  const until = finishedAt ?? new Date();
  return {
    waited: secondsBetween(createdAt, startedAt ?? until),
    seconds: startedAt ? secondsBetween(startedAt, until) : 0,
  };
}

/** To tenths. */
function secondsBetween(from: Date, to: Date): number {
  return Math.round((to.getTime() - from.getTime()) / 100) / 10;
}

function described({ dialect, workflowHash, sources }: Happened['task']) {
  return { dialect, hash: workflowHash.slice(0, 12), sources: sources.map(addressOf) };
}

function addressOf({ url }: Source): string {
  return withoutSecret(withoutQuery(url));
}
