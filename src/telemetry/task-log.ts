import type { Claim } from '../core/attempt.ts';
import type { GatewayError } from '../core/errors.ts';
import type { NextStep } from '../core/next-step.ts';
import type { Source, Task, TaskError } from '../core/task.ts';
import { withoutQuery } from '../core/without-query.ts';
import type { Logger } from './logger.ts';
import type { TaskMetrics } from './task-metrics.ts';

/** One function for each thing that happens to a task: what is logged and counted of it, in one place. */
export class TaskLog {
  readonly #logger: Logger;
  readonly #metrics: TaskMetrics;

  constructor(logger: Logger, metrics: TaskMetrics) {
    this.#logger = logger;
    this.#metrics = metrics;
  }

  taskAccepted(task: Task): void {
    const { id, dialect, workflow, workflowHash, sources } = task;
    const hash = workflowHash.slice(0, 12);
    const fields = { task: id, dialect, workflow, hash, sources: sources.map(addressOf) };
    this.#logger.info(fields, 'task.accepted');
    this.#metrics.submitted(task);
  }

  taskCanceled(task: Task): void {
    this.#logger.info({ task: task.id }, 'task.canceled');
    this.#metrics.ended(task, 'revoked');
  }

  /** `end`: whether its results were made, or taken from a twin. */
  taskCompleted(claim: Claim, end: 'made' | 'taken'): void {
    this.#logger.info({ ...named(claim), results: end }, 'task.completed');
    this.#metrics.ended(claim.task, 'success');
  }

  /** For good; what led to it was told with its last attempt. */
  taskFailed(claim: Claim, { code }: TaskError): void {
    this.#logger.info({ ...named(claim), code }, 'task.failed');
    this.#metrics.ended(claim.task, 'failure');
  }

  attemptStarted(claim: Claim): void {
    this.#logger.info(named(claim), 'attempt.started');
  }

  attemptAdopted(claim: Claim): void {
    this.#logger.info({ ...named(claim), prompt: claim.attempt.promptId }, 'attempt.adopted');
  }

  attemptDetached(claim: Claim): void {
    this.#logger.info(named(claim), 'attempt.detached');
  }

  /** It leaves no trace: its task is as it was before. */
  attemptUndone(claim: Claim, reason: string): void {
    this.#logger.info({ ...named(claim), reason }, 'attempt.undone');
  }

  taskExpired(task: Task): void {
    this.#logger.info({ task: task.id }, 'task.expired');
    this.#metrics.ended(task, 'timeout');
  }

  /** What a client or a source did wrong is not our trouble. */
  attemptFailed(claim: Claim, failure: GatewayError, next: NextStep): void {
    const expected = failure.fault === 'client' || failure.fault === 'source';
    const fields = { ...named(claim), code: failure.code, fault: failure.fault, next };
    const { message, detail, cause } = failure;
    this.#logger[expected ? 'info' : 'warn'](
      { ...fields, reason: message, detail, err: cause },
      'attempt.failed',
    );
  }

  claimLost(claim: Claim): void {
    this.#logger.info(named(claim), 'claim.lost');
  }

  withdrawFailed(claim: Claim, error: unknown): void {
    this.#logger.warn({ ...named(claim), err: error }, 'prompt.left-behind');
  }

  /** What a failed attempt stored is still there. */
  objectsLeft(claim: Claim, error: unknown): void {
    this.#logger.warn({ ...named(claim), err: error }, 'objects.left-behind');
  }

  settleFailed(claim: Claim, error: unknown): void {
    this.#logger.error({ ...named(claim), err: error }, 'attempt.unsettled');
  }

  dispatchFailed(error: unknown): void {
    this.#logger.error({ err: error }, 'dispatch.failed');
  }

  recoveryFailed(error: unknown): void {
    this.#logger.error({ err: error }, 'recovery.failed');
  }
}

function named({ task, attempt }: Claim): Record<string, unknown> {
  return { task: task.id, attempt: attempt.number, backend: attempt.backend };
}

function addressOf({ url }: Source): string {
  return withoutQuery(url);
}
