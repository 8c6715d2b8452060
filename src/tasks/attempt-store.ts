import type { Claim, PastAttempt } from '../core/attempt.ts';
import type { TaskError, TaskOutput } from '../core/task.ts';
import { realTempo, type Tempo } from '../core/tempo.ts';
import { asJsonb } from '../db/columns.ts';
import type { Orm } from '../db/connect.ts';
import type { PgUpdateSetSource } from '../db/drizzle.ts';
import { and, asc, eq, isNotNull, type SQL, sql } from '../db/drizzle.ts';
import { notification, notify } from '../db/notices.ts';
import { attempts, taskStages, tasks } from '../db/schema.ts';
import { AttemptNews } from './attempt-news.ts';
import { backInQueue, behindLeader, ended, resetStages, skipStages } from './changes.ts';
import { findTwin, forgetTwins, lockTwins, type Standing, wakeFollowers } from './twins.ts';

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
  /** Backends that others are to be preferred to. */
  readonly avoid: readonly string[];
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
  readonly #tempo: Tempo['twins'];

  constructor(orm: Orm, owner: string, tempo: Tempo['twins'] = realTempo.twins) {
    this.#orm = orm;
    this.#owner = owner;
    this.#tempo = tempo;
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
    const { keepMs } = claim.task.delivery;
    const held = this.#held(claim, {
      ...ended,
      state: 'completed',
      outputs,
      error: null,
      storedBytes: storedBytes(outputs),
      ...(keepMs === undefined ? {} : { keepUntil: sql`now() + ${keepMs} * interval '1 ms'` }),
    });
    const closed = await this.#orm
      .with(held, this.#stages(news))
      .update(attempts)
      .set({ ...changeOf(news), finishedAt: sql`now()` })
      .from(held)
      .where(and(eq(attempts.taskId, held.id), eq(attempts.id, claim.attempt.id)))
      .returning({ id: attempts.id, notified: notification('ended', claim.task.id) });
    if (closed.length === 0) throw new ClaimLostError(claim.task.id);
    await this.#wakeFollowers(claim, null);
  }

  /**
   * Finds out what the task is to its twins. One that follows is given back into the queue, as if this
   * attempt had never been.
   *
   * @throws ClaimLostError
   */
  async seekTwin(claim: Claim, fingerprint: string): Promise<Standing> {
    const standing = await this.#orm.transaction(async (tx): Promise<Standing> => {
      await lockTwins(tx, fingerprint);
      const twin = await findTwin(tx, fingerprint, claim.task.id);
      if (twin !== 'leader') {
        await this.#change(tx, claim, { fingerprint });
        // It followed, and shows that it waits.
        if (claim.fingerprint === fingerprint) await resetStages(tx, claim.task.id);
        return twin ? { kind: 'takes', twin } : { kind: 'leads' };
      }
      await this.#change(tx, claim, {
        ...behindLeader(this.#tempo.wokenAfterMs),
        ...undone,
        fingerprint,
      });
      await forget(tx, claim);
      await tx
        .update(taskStages)
        .set({ detail: 'Waiting for the result of an identical task' })
        .where(and(eq(taskStages.taskId, claim.task.id), eq(taskStages.name, 'process')));
      return { kind: 'follows' };
    });
    // Its source is another by now than that of those which followed it.
    if (claim.fingerprint !== fingerprint) await this.#wakeFollowers(claim, 1);
    return standing;
  }

  /** What the task's twins had stored is gone, by another hand than ours. */
  async forgetTwins({ fingerprint }: Claim): Promise<void> {
    if (fingerprint !== null) await forgetTwins(this.#orm, fingerprint);
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
             jsonb_to_recordset(${asJsonb(rows)}) as news (
               name text, state text, progress int, detail text,
               started_ms float8, finished_ms float8)
       where task_stages.task_id = held.id and task_stages.name = news.name`);
  }

  async fail(claim: Claim, error: TaskError): Promise<void> {
    const change = { ...ended, state: 'failed' as const, error, fingerprint: null };
    await this.#fenced(claim, change, async (tx) => {
      await blame(tx, claim, error);
      // The stage that failed says why; those after it never begin.
      await tx
        .update(taskStages)
        .set({ state: 'failed', detail: error.message, finishedAt: sql`now()` })
        .where(and(eq(taskStages.taskId, claim.task.id), eq(taskStages.state, 'running')));
      await skipStages(tx, claim.task.id);
      await notify(tx, 'ended', claim.task.id);
    });
    await this.#wakeFollowers(claim, 1);
  }

  /** Lets the task wait for another attempt, the error of this one on show. */
  async retry(claim: Claim, error: TaskError, plan: RetryPlan): Promise<void> {
    const change = {
      ...backInQueue,
      error,
      runAfter: plan.afterMs > 0 ? sql`now() + ${plan.afterMs} * interval '1 ms'` : null,
      ...(plan.counts ? { retries: sql`${tasks.retries} + 1` } : {}),
      ...(plan.avoid.length > 0 ? { avoid: withLabels(plan.avoid) } : {}),
    };
    await this.#fenced(claim, change, async (tx) => {
      await blame(tx, claim, error);
      await resetStages(tx, claim.task.id);
      if (plan.afterMs === 0) await notify(tx, 'ready', claim.task.id);
    });
    await this.#wakeFollowers(claim, 1);
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
    const change = { ...backInQueue, ...undone, runAfter: null };
    await this.#fenced(claim, change, async (tx) => {
      await forget(tx, claim);
      await notify(tx, 'ready', claim.task.id);
    });
    await this.#wakeFollowers(claim, 1);
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

  /** Whether it is sure that nothing which the attempt made is, or will be, the task's result. */
  async wasInVain({ task, attempt }: Claim): Promise<boolean> {
    const [row] = await this.#orm
      .select({ state: tasks.state, attempt: tasks.attempt })
      .from(tasks)
      .where(eq(tasks.id, task.id));
    if (!row) return false;
    if (row.state === 'failed' || row.state === 'canceled') return true;
    return (
      row.attempt > attempt.number || (row.state === 'pending' && row.attempt === attempt.number)
    );
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
      await this.#change(tx, claim, change);
      await alongside(tx);
    });
  }

  async #change(tx: Orm, claim: Claim, change: PgUpdateSetSource<typeof tasks>): Promise<void> {
    const held = await tx
      .update(tasks)
      .set({ updatedAt: sql`now()`, ...change })
      .where(this.#isOurs(claim))
      .returning({ id: tasks.id });
    if (held.length === 0) throw new ClaimLostError(claim.task.id);
  }

  /** What the task came to is written by now: nobody fails because others are woken a little later. */
  async #wakeFollowers({ fingerprint }: Claim, most: number | null): Promise<void> {
    if (fingerprint === null) return;
    await wakeFollowers(this.#orm, fingerprint, most).catch(() => {});
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

/** The avoided backends, with these: each once. */
function withLabels(labels: readonly string[]): SQL {
  const more = sql`${sql.param([...labels], tasks.avoid)}::text[]`;
  return sql`array(select distinct unnest(coalesce(${tasks.avoid}, '{}') || ${more}))`;
}

/** What of it is in our store, thumbnails aside. */
function storedBytes(outputs: readonly TaskOutput[]): number {
  const stored = outputs.filter(({ deliveredTo }) => deliveredTo === undefined);
  return stored.reduce((sum, { size }) => sum + size, 0);
}

/** The attempt does not count. */
const undone = { attempt: sql`${tasks.attempt} - 1` };

/** No trace of the attempt is left. */
async function forget(tx: Orm, { task, attempt }: Claim): Promise<void> {
  await tx.delete(attempts).where(eq(attempts.id, attempt.id));
  await resetStages(tx, task.id);
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
