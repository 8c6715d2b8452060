import { and, asc, eq, isNotNull, type SQL, sql } from 'drizzle-orm';
import type { PgUpdateSetSource } from 'drizzle-orm/pg-core';
import type { Claim, PastAttempt } from '../core/attempt.ts';
import type { TaskError, TaskOutput } from '../core/task.ts';
import type { Orm } from '../db/connect.ts';
import { notify } from '../db/notices.ts';
import { attempts, taskStages, tasks } from '../db/schema.ts';
import { AttemptNews } from './attempt-news.ts';
import { backInQueue, ended, resetStages, skipStages } from './changes.ts';

/** The claim is another's by now, or the task has ended: stop, and write nothing more. */
export class ClaimLostError extends Error {
  override readonly name = 'ClaimLostError';

  constructor(taskId: string) {
    super(`Task ${taskId} is no longer ours`);
  }
}

/** How a failed attempt's task goes on waiting. */
export interface RetryPlan {
  readonly afterMs: number;
  /** The backend that others are to be preferred to. */
  readonly avoid: string | null;
  /** Whether it counts among the attempts that a task has. */
  readonly counts: boolean;
}

/**
 * The one door through which the gateway that works on a task changes it. Every write is fenced by
 * owner and attempt number: a gateway which slept through the end of its claim changes nothing.
 */
export class AttemptStore {
  readonly #orm: Orm;
  readonly #owner: string;

  constructor(orm: Orm, owner: string) {
    this.#orm = orm;
    this.#owner = owner;
  }

  /**
   * Writes down what is new. A prompt must be on record before it is posted: it is all that a successor
   * has to go by.
   */
  async record(claim: Claim, news: AttemptNews): Promise<void> {
    const held = this.#held(claim);
    const stages = this.#stages(news);
    const written = news.isOfAttempt
      ? await this.#orm
          .with(held, stages)
          .update(attempts)
          .set(changeOf(news))
          .from(held)
          .where(and(eq(attempts.taskId, held.id), eq(attempts.id, claim.attempt.id)))
          .returning({ id: attempts.id })
      : await this.#orm.with(held, stages).select({ id: held.id }).from(held);
    if (written.length === 0) throw new ClaimLostError(claim.task.id);
  }

  /** Ends the task well; what is new about its last stages is written with that. */
  async complete(
    claim: Claim,
    outputs: readonly TaskOutput[],
    news = new AttemptNews(),
  ): Promise<void> {
    const held = this.#held(claim, { ...ended, state: 'completed', outputs, error: null });
    const closed = await this.#orm
      .with(held, this.#stages(news))
      .update(attempts)
      .set({ ...changeOf(news), finishedAt: sql`now()` })
      .from(held)
      .where(and(eq(attempts.taskId, held.id), eq(attempts.id, claim.attempt.id)))
      .returning({ id: attempts.id });
    if (closed.length === 0) throw new ClaimLostError(claim.task.id);
  }

  /** The stages of the task that is held, as the news say. */
  #stages({ stages }: AttemptNews) {
    const rows = [...stages].map(([name, { startedAt, finishedAt, ...shown }]) => ({
      name,
      ...shown,
      started_ms: agoMs(startedAt),
      finished_ms: agoMs(finishedAt),
    }));
    return this.#orm.$with('stages', {}).as(sql`
      update task_stages set
             state = news.state, progress = news.progress, detail = news.detail,
             -- An adopted prompt has been running since its first gateway started it.
             started_at = coalesce(task_stages.started_at, now() - news.started_ms * interval '1 ms'),
             finished_at = now() - news.finished_ms * interval '1 ms'
        from held,
             jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as news (
               name text, state text, progress int, detail text,
               started_ms float8, finished_ms float8)
       where task_stages.task_id = held.id and task_stages.name = news.name`);
  }

  async fail(claim: Claim, error: TaskError): Promise<void> {
    await this.#fenced(claim, { ...ended, state: 'failed', error }, async (tx) => {
      await blame(tx, claim, error);
      // The stage that failed says why; those after it never begin.
      await tx
        .update(taskStages)
        .set({ state: 'failed', detail: error.message, finishedAt: sql`now()` })
        .where(and(eq(taskStages.taskId, claim.task.id), eq(taskStages.state, 'running')));
      await skipStages(tx, claim.task.id);
    });
  }

  /** Lets the task wait for another attempt, the error of this one on show. */
  async retry(claim: Claim, error: TaskError, plan: RetryPlan): Promise<void> {
    const change = {
      ...backInQueue,
      error,
      runAfter: plan.afterMs > 0 ? sql`now() + ${plan.afterMs} * interval '1 ms'` : null,
      ...(plan.counts ? { retries: sql`${tasks.retries} + 1` } : {}),
      ...(plan.avoid
        ? { avoid: sql`array_append(array_remove(${tasks.avoid}, ${plan.avoid}), ${plan.avoid})` }
        : {}),
    };
    await this.#fenced(claim, change, async (tx) => {
      await blame(tx, claim, error);
      await resetStages(tx, claim.task.id);
      if (plan.afterMs === 0) await notify(tx, 'ready', claim.task.id);
    });
  }

  /**
   * Gives the task back. With a prompt on its backend it stays as it is, its lease over, so that the
   * next gateway adopts the prompt; without one it goes back into the queue as if this attempt had
   * never been.
   */
  async handBack(claim: Claim, hasPrompt: boolean): Promise<void> {
    if (hasPrompt) {
      await this.#fenced(claim, { leaseUntil: sql`now()` });
      return;
    }
    const change = { ...backInQueue, runAfter: null, attempt: sql`${tasks.attempt} - 1` };
    await this.#fenced(claim, change, async (tx) => {
      await tx.delete(attempts).where(eq(attempts.id, claim.attempt.id));
      await resetStages(tx, claim.task.id);
      await notify(tx, 'ready', claim.task.id);
    });
  }

  /** The task's attempts that failed, oldest first. */
  async failed(taskId: string): Promise<PastAttempt[]> {
    const rows = await this.#orm
      .select({ backend: attempts.backend, error: attempts.error })
      .from(attempts)
      .where(and(eq(attempts.taskId, taskId), isNotNull(attempts.error)))
      .orderBy(asc(attempts.number));
    return rows.flatMap(({ backend, error }) => (error ? [{ backend, error }] : []));
  }

  /** Whether it was a client that ended the task. */
  async isCanceled(taskId: string): Promise<boolean> {
    const [row] = await this.#orm
      .select({ state: tasks.state })
      .from(tasks)
      .where(eq(tasks.id, taskId));
    return row?.state === 'canceled';
  }

  /** Nothing of this attempt is left on its backend. */
  async close(attemptId: string): Promise<void> {
    await this.#orm
      .update(attempts)
      .set({ finishedAt: sql`now()` })
      .where(and(eq(attempts.id, attemptId), sql`${attempts.finishedAt} is null`));
  }

  /** The task while it is ours, changed and locked: as part of a statement, it fences the rest of it. */
  #held(claim: Claim, change: PgUpdateSetSource<typeof tasks> = {}) {
    return this.#orm.$with('held').as(
      this.#orm
        .update(tasks)
        .set({ updatedAt: sql`now()`, ...change })
        .where(this.#isOurs(claim))
        .returning({ id: tasks.id }),
    );
  }

  /**
   * Changes the task while it is ours, and what hangs on it in the same transaction.
   *
   * @throws ClaimLostError when it is not ours any more; nothing is written then.
   */
  async #fenced(
    claim: Claim,
    change: PgUpdateSetSource<typeof tasks>,
    alongside: (tx: Orm) => Promise<void> = async () => {},
  ): Promise<void> {
    await this.#orm.transaction(async (tx) => {
      const held = await tx
        .update(tasks)
        .set({ updatedAt: sql`now()`, ...change })
        .where(this.#isOurs(claim))
        .returning({ id: tasks.id });
      if (held.length === 0) throw new ClaimLostError(claim.task.id);
      await alongside(tx);
    });
  }

  #isOurs({ task, attempt }: Claim): SQL | undefined {
    return and(
      eq(tasks.id, task.id),
      eq(tasks.owner, this.#owner),
      eq(tasks.attempt, attempt.number),
      eq(tasks.state, 'processing'),
    );
  }
}

/** Instants are the database's: ours only tell how long ago something was. */
function agoMs(at: number | null): number | null {
  return at === null ? null : performance.now() - at;
}

function changeOf({ prompt, postedAt, gpuMs }: AttemptNews): PgUpdateSetSource<typeof attempts> {
  return {
    ...(prompt ?? {}),
    ...(postedAt === null ? {} : { postedAt: sql`now() - ${agoMs(postedAt)} * interval '1 ms'` }),
    ...(gpuMs === null ? {} : { gpuMs: Math.round(gpuMs) }),
  };
}

/** The attempt is closed when nothing of it is left on its backend, which may be later. */
async function blame(tx: Orm, { attempt }: Claim, error: TaskError): Promise<void> {
  await tx.update(attempts).set({ error }).where(eq(attempts.id, attempt.id));
}
