import { randomUUID } from 'node:crypto';
import { and, eq, inArray, isNotNull, ne, or, type SQL, sql } from 'drizzle-orm';
import type { PgUpdateSetSource } from 'drizzle-orm/pg-core';
import type { Attempt, Claim } from '../core/attempt.ts';
import type { MediaInfo } from '../core/media.ts';
import type { StageName, StageProgress } from '../core/stage.ts';
import type { TaskError, TaskOutput } from '../core/task.ts';
import type { Orm } from '../db/connect.ts';
import { attempts, taskStages, tasks } from '../db/schema.ts';
import { type TaskRow, toAttempt, toTask } from './rows.ts';
import { notify } from './task-events.ts';

/** The claim is another's by now, or the task has ended: stop, and write nothing more. */
export class ClaimLostError extends Error {
  override readonly name = 'ClaimLostError';

  constructor(taskId: string) {
    super(`Task ${taskId} is no longer ours`);
  }
}

export interface PromptRecord {
  readonly promptId: string;
  /** Where it is posted; not always where the task was made ready. */
  readonly backend: string;
  readonly input: MediaInfo;
  readonly workflowHash: string;
}

export interface ClaimStoreOptions {
  /** This gateway's id, new at every start. */
  readonly owner: string;
  /** How long a claim holds without being renewed, by the database's clock. */
  readonly leaseMs: number;
}

/**
 * The one door through which the gateway that works on a task changes it. A claim is taken here and
 * fences every later write: by owner and attempt number, so that a gateway which slept through the
 * end of its lease changes nothing. All instants are the database's.
 */
export class ClaimStore {
  readonly #orm: Orm;
  readonly #owner: string;
  readonly #leaseMs: number;

  constructor(orm: Orm, { owner, leaseMs }: ClaimStoreOptions) {
    this.#orm = orm;
    this.#owner = owner;
    this.#leaseMs = leaseMs;
  }

  /**
   * Takes the first task among the heads of these workflows' queues for the backend; `null` when
   * nothing waits. Each head is one probe of the index, whatever the backlog.
   */
  async claim(backend: string, workflows: readonly string[]): Promise<Claim | null> {
    const names = JSON.stringify(workflows);
    const head = sql`(
      select head.id
        from jsonb_array_elements_text(${names}::jsonb) as runnable(workflow)
        cross join lateral (
          select id, priority, seq from tasks
           where state = 'pending' and run_after is null and workflow = runnable.workflow
           order by priority desc, seq limit 1
             for update skip locked) as head
       order by head.priority desc, head.seq limit 1)`;
    return await this.#orm.transaction(async (tx) => {
      const [row] = await tx
        .update(tasks)
        .set({
          state: 'processing',
          ...this.#lease(),
          attempt: sql`${tasks.attempt} + 1`,
          startedAt: sql`coalesce(${tasks.startedAt}, now())`,
          updatedAt: sql`now()`,
        })
        .where(eq(tasks.id, head))
        .returning();
      if (!row) return null;
      const [attempt] = await tx
        .insert(attempts)
        .values({ id: randomUUID(), taskId: row.id, number: row.attempt, backend })
        .returning();
      return toClaim(row, attempt as typeof attempts.$inferSelect);
    });
  }

  /** Prolongs the claims and returns the ids of those that are still ours. */
  async renew(taskIds: readonly string[]): Promise<Set<string>> {
    if (taskIds.length === 0) return new Set();
    const rows = await this.#orm
      .update(tasks)
      .set({ leaseUntil: this.#lease().leaseUntil })
      .where(and(inArray(tasks.id, [...taskIds]), eq(tasks.owner, this.#owner)))
      .returning({ id: tasks.id });
    return new Set(rows.map((row) => row.id));
  }

  /**
   * Takes over what a dead gateway left on one of these backends: the task with its attempt, whose
   * prompt may well be running.
   */
  async takeOver(backends: readonly string[]): Promise<Claim[]> {
    if (backends.length === 0) return [];
    return await this.#orm.transaction(async (tx) => {
      const expired = await tx
        .select({ id: tasks.id })
        .from(tasks)
        .innerJoin(attempts, and(eq(attempts.taskId, tasks.id), eq(attempts.number, tasks.attempt)))
        .where(
          and(
            eq(tasks.state, 'processing'),
            sql`${tasks.leaseUntil} < now()`,
            inArray(attempts.backend, [...backends]),
            isNotNull(attempts.promptId),
          ),
        )
        .limit(100)
        .for('update', { of: tasks, skipLocked: true });
      if (expired.length === 0) return [];
      const ids = expired.map((row) => row.id);
      const taken = await tx
        .update(tasks)
        .set({ ...this.#lease(), updatedAt: sql`now()` })
        .where(inArray(tasks.id, ids))
        .returning();
      const current = await tx.select().from(attempts).where(inArray(attempts.taskId, ids));
      return taken.map((row) => {
        const attempt = current.find((a) => a.taskId === row.id && a.number === row.attempt);
        return toClaim(row, attempt as typeof attempts.$inferSelect);
      });
    });
  }

  /**
   * Puts tasks of dead gateways back into the queue where there is nothing to take over: no prompt
   * was posted, or nobody has adopted it for so long that its backend must be gone, too.
   */
  async requeueAbandoned(afterMs: number): Promise<number> {
    const neverSubmitted = sql`not exists (
      select from attempts
       where attempts.task_id = tasks.id and attempts.number = tasks.attempt
         and attempts.prompt_id is not null)`;
    const longGone = sql`${tasks.leaseUntil} < now() - ${afterMs} * interval '1 ms'`;
    return await this.#orm.transaction(async (tx) => {
      const rows = await tx
        .update(tasks)
        .set({ ...backInQueue, runAfter: null })
        .where(
          and(
            eq(tasks.state, 'processing'),
            sql`${tasks.leaseUntil} < now()`,
            or(neverSubmitted, longGone),
          ),
        )
        .returning({ id: tasks.id });
      for (const { id } of rows) {
        await resetStages(tx, id);
        await notify(tx, 'ready', id);
      }
      return rows.length;
    });
  }

  /** Ends the leases of all others: for an engine that only one gateway can have open. */
  async expireOthers(): Promise<void> {
    await this.#orm
      .update(tasks)
      .set({ leaseUntil: sql`now() - interval '1 ms'` })
      .where(and(eq(tasks.state, 'processing'), ne(tasks.owner, this.#owner)));
  }

  /** Lets tasks whose waiting time is over be claimed again; returns how many. */
  async wakeWaiting(): Promise<number> {
    const rows = await this.#orm
      .update(tasks)
      .set({ runAfter: null })
      .where(and(eq(tasks.state, 'pending'), sql`${tasks.runAfter} <= now()`))
      .returning({ id: tasks.id });
    return rows.length;
  }

  /** Must be stored before the prompt is posted: it is all that a successor has to go by. */
  async recordPrompt(claim: Claim, record: PromptRecord): Promise<void> {
    const held = this.#held(claim);
    const written = await this.#orm
      .with(held)
      .update(attempts)
      .set(record)
      .from(held)
      .where(and(eq(attempts.taskId, held.id), eq(attempts.id, claim.attempt.id)))
      .returning({ id: attempts.id });
    if (written.length === 0) throw new ClaimLostError(claim.task.id);
  }

  async startStage(claim: Claim, name: StageName): Promise<void> {
    await this.#writeStage(claim, name, {
      state: 'running',
      progress: 0,
      detail: null,
      // An adopted prompt has been running since its first gateway started it.
      startedAt: sql`coalesce(${taskStages.startedAt}, now())`,
      finishedAt: null,
    });
  }

  async progressStage(claim: Claim, name: StageName, progress: StageProgress): Promise<void> {
    await this.#writeStage(claim, name, progress);
  }

  async finishStage(claim: Claim, name: StageName, detail: string): Promise<void> {
    await this.#writeStage(claim, name, {
      state: 'success',
      progress: 100,
      detail,
      finishedAt: sql`now()`,
    });
  }

  async #writeStage(
    claim: Claim,
    name: StageName,
    change: PgUpdateSetSource<typeof taskStages>,
  ): Promise<void> {
    const held = this.#held(claim);
    const written = await this.#orm
      .with(held)
      .update(taskStages)
      .set(change)
      .from(held)
      .where(and(eq(taskStages.taskId, held.id), eq(taskStages.name, name)))
      .returning({ name: taskStages.name });
    if (written.length === 0) throw new ClaimLostError(claim.task.id);
  }

  async complete(claim: Claim, output: TaskOutput): Promise<void> {
    const change = { ...ended, state: 'completed' as const, output, error: null };
    await this.#fenced(claim, change, (tx) => closeAttempt(tx, claim.attempt));
  }

  async fail(claim: Claim, error: TaskError): Promise<void> {
    await this.#fenced(claim, { ...ended, state: 'failed', error }, async (tx) => {
      await closeAttempt(tx, claim.attempt, error);
      await endStages(tx, claim.task.id, error);
    });
  }

  /** Lets the task wait for another attempt, the error of this one on show. */
  async retry(claim: Claim, error: TaskError, afterMs: number): Promise<void> {
    const runAfter = sql`now() + ${afterMs} * interval '1 ms'`;
    await this.#fenced(claim, { ...backInQueue, error, runAfter }, async (tx) => {
      await closeAttempt(tx, claim.attempt, error);
      await resetStages(tx, claim.task.id);
    });
  }

  /**
   * Gives the task back on shutdown. With a prompt on its backend it stays as it is, its lease over,
   * so that the next gateway adopts the prompt; without one it goes back into the queue as if this
   * attempt had never been.
   */
  async handBack(claim: Claim, promptId: string | null): Promise<void> {
    if (promptId) {
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

  async isCanceled(taskId: string): Promise<boolean> {
    const [row] = await this.#orm
      .select({ state: tasks.state })
      .from(tasks)
      .where(eq(tasks.id, taskId));
    return row?.state === 'canceled';
  }

  /** Nothing of this attempt is left on its backend. */
  async closeAttempt(attemptId: string): Promise<void> {
    await this.#orm
      .update(attempts)
      .set({ finishedAt: sql`now()` })
      .where(and(eq(attempts.id, attemptId), sql`${attempts.finishedAt} is null`));
  }

  /** The task while it is ours, locked: as part of a statement, it fences what else that writes. */
  #held(claim: Claim) {
    return this.#orm
      .$with('held')
      .as(
        this.#orm
          .update(tasks)
          .set({ updatedAt: sql`now()` })
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

  #lease(): { owner: string; leaseUntil: SQL } {
    return {
      owner: this.#owner,
      leaseUntil: sql`now() + ${this.#leaseMs} * interval '1 ms'`,
    };
  }
}

const unowned = { owner: null, leaseUntil: null };
const ended = { ...unowned, runAfter: null, finishedAt: sql`now()` };
const backInQueue = { ...unowned, state: 'pending' as const, updatedAt: sql`now()` };

async function closeAttempt(
  tx: Orm,
  attempt: Attempt,
  error: TaskError | null = null,
): Promise<void> {
  await tx
    .update(attempts)
    .set({ error, finishedAt: sql`now()` })
    .where(eq(attempts.id, attempt.id));
}

async function resetStages(tx: Orm, taskId: string): Promise<void> {
  await tx
    .update(taskStages)
    .set({ state: 'pending', progress: 0, detail: null, startedAt: null, finishedAt: null })
    .where(eq(taskStages.taskId, taskId));
}

/** The stage that failed says why; those after it never begin. */
async function endStages(tx: Orm, taskId: string, error: TaskError): Promise<void> {
  await tx
    .update(taskStages)
    .set({ state: 'failed', detail: error.message, finishedAt: sql`now()` })
    .where(and(eq(taskStages.taskId, taskId), eq(taskStages.state, 'running')));
  await tx
    .update(taskStages)
    .set({ state: 'skipped' })
    .where(and(eq(taskStages.taskId, taskId), eq(taskStages.state, 'pending')));
}

function toClaim(task: TaskRow, attempt: typeof attempts.$inferSelect): Claim {
  return { task: toTask(task), attempt: toAttempt(attempt) };
}
