import type { Claim, PastAttempt } from '../core/attempt.ts';
import { faultOf } from '../core/errors.ts';
import type { Task, TaskError, TaskOutput } from '../core/task.ts';
import type { EventBody } from '../core/task-event.ts';
import { asJsonb } from '../db/columns.ts';
import { and, asc, eq, isNotNull, type PgUpdateSetSource, type SQL, sql } from '../db/drizzle.ts';
import { attempts, runs, tasks } from '../db/schema.ts';
import { AttemptNews } from './attempt-news.ts';
import { type Door, lateTries, type MoveOptions, seesItsTasks } from './door.ts';
import type { MoveName, RunChange } from './moves.ts';
import { separateTasks } from './shared-runs.ts';

/** The claim is another's by now, or the run has ended: stop, and write nothing more. */
export class ClaimLostError extends Error {
  override readonly name = 'ClaimLostError';

  constructor({ run, task }: Claim) {
    super(`Run ${run.id} of task ${task.id} is no longer ours`);
  }
}

/** How a failed attempt's run goes on waiting. */
export interface RetryPlan {
  readonly afterMs: number;
  /** Backends that others are to be preferred to. */
  readonly avoid: readonly string[];
  /** Whether it counts among the attempts that a run has. */
  readonly counts: boolean;
}

/** What each of a run's tasks is given, by its id. */
export type Deliveries = ReadonlyMap<string, readonly TaskOutput[]>;

/** A task that waits for a run, as far as the names of its results depend on it. */
export type Sharer = Pick<Task, 'id' | 'sources'>;

/** What became of a run whose results are stored. */
export type Completion =
  /** Those of the tasks that were still waiting have their results. */
  | { readonly kind: 'completed'; readonly taskIds: readonly string[] }
  /** Nothing was written: these have come to share the run, and need results of their own. */
  | { readonly kind: 'incomplete'; readonly missing: readonly Sharer[] };

/**
 * How the gateway that works on a run changes it. Every write is fenced by owner and attempt number: a
 * gateway which slept through the end of its claim changes nothing.
 */
export class AttemptStore {
  readonly #door: Door;

  constructor(door: Door) {
    this.#door = door;
  }

  /**
   * Writes down what is new. A prompt must be on record before it is posted: it is all that a successor
   * has to go by.
   */
  async record(claim: Claim, news: AttemptNews): Promise<void> {
    for (let tries = 1; !(await this.#written(claim, news)); tries += 1) {
      const held = await this.#door.orm.select({ id: runs.id }).from(runs).where(this.fence(claim));
      // Or else a task has joined in between.
      if (held.length === 0 || tries === lateTries) throw new ClaimLostError(claim);
    }
  }

  async #written(claim: Claim, news: AttemptNews): Promise<boolean> {
    const { orm } = this.#door;
    const held = orm.$with('held').as(
      orm
        .select({ id: runs.id, taskIds: runs.taskIds })
        .from(runs)
        .where(and(this.fence(claim), seesItsTasks))
        .for('share'),
    );
    const told = orm.$with('told', {}).as(sql`
      update tasks set updated_at = now() from held
       where tasks.id = any(held.task_ids) and tasks.run_id = held.id returning tasks.id`);
    const noted = orm.$with('noted', {}).as(noteStages(news));
    const warned = orm.$with('warned', {}).as(noteWarnings(news));
    const written = news.isOfAttempt
      ? await orm
          .with(held, told, noted, warned)
          .update(attempts)
          .set(changeOf(news))
          .from(held)
          .where(and(eq(attempts.runId, held.id), eq(attempts.id, claim.attempt.id)))
          .returning({ id: attempts.id })
      : await orm.with(held, told, noted, warned).select({ id: held.id }).from(held);
    return written.length > 0;
  }

  /**
   * Ends the run well; what is new about its last stages is written with that.
   *
   * @throws ClaimLostError
   */
  async complete(
    claim: Claim,
    deliveries: Deliveries,
    body: EventBody = {},
    news = new AttemptNews(),
  ): Promise<Completion> {
    const results = sql`(${asJsonb(resultsOf(deliveries))} -> tasks.id::text)`;
    const keepMs = sql`(tasks.delivery ->> 'keepMs')::float8`;
    const known = sql`${sql.param([...deliveries.keys()], runs.taskIds)}::uuid[]`;
    const moved = await this.#door.carryOut('completed', {
      which: sql`${this.fence(claim)} and runs.task_ids <@ ${known}`,
      run: {
        fingerprint: claim.run.fingerprint,
        ...(news.warnings ? { warnings: news.warnings } : {}),
      },
      task: {
        outputs: sql`${results} -> 'outputs'`,
        storedBytes: sql`(${results} ->> 'storedBytes')::int8`,
        keepUntil: sql`now() + ${keepMs} * interval '1 ms'`,
      },
      body: { attempt: claim.attempt.number, ...body },
      gpuMs: news.gpu?.ms ?? null,
      beside: {
        noted: endStages(news),
        freed: sql`
          update runs set needs = array_remove(runs.needs, moved.id) from moved
           where runs.needs <> '{}' and runs.needs @> array[moved.id]`,
        closed: this.#attempt(claim, { ...changeOf(news), finishedAt: sql`now()` }),
      },
    });
    if (moved.length > 0) return { kind: 'completed', taskIds: moved.map(({ task }) => task.id) };
    const missing = (await this.sharers(claim)).filter(({ id }) => !deliveries.has(id));
    if (missing.length === 0) throw new ClaimLostError(claim);
    return { kind: 'incomplete', missing };
  }

  /** The tasks that wait for the run, in no order; none when it is no longer ours. */
  async sharers(claim: Claim): Promise<readonly Sharer[]> {
    return await this.#door.orm
      .select({ id: tasks.id, sources: tasks.sources })
      .from(runs)
      .innerJoin(tasks, sql`${tasks.id} = any(${runs.taskIds})`)
      .where(this.fence(claim));
  }

  /** Fails the run, and with it its tasks. */
  async fail(claim: Claim, error: TaskError): Promise<void> {
    const fault = faultOf(error.code);
    const isRejected = fault === 'client' || fault === 'source';
    await this.#move(isRejected ? 'rejected' : 'failed', claim, {
      task: { error },
      detail: error.message,
      body: { code: error.code, message: error.message },
      beside: { blamed: this.#attempt(claim, { error }) },
    });
  }

  /** Lets the run wait for another attempt, the error of this one on show. */
  async retry(claim: Claim, error: TaskError, plan: RetryPlan): Promise<void> {
    const { afterMs, avoid, counts } = plan;
    const run: RunChange = {
      ...(afterMs > 0 ? { runAfter: sql`now() + ${afterMs} * interval '1 ms'` } : {}),
      ...(counts ? { retries: sql`runs.retries + 1` } : {}),
      ...(avoid.length > 0 ? { avoid: withLabels(avoid) } : {}),
    };
    await this.#move('retried', claim, {
      run,
      task: { error },
      body: { code: error.code, message: error.message, afterMs },
      beside: { blamed: this.#attempt(claim, { error }) },
    });
  }

  /**
   * Gives the run back. With a prompt on its backend it stays as it is, its lease over, so that the next
   * gateway adopts the prompt; without one it goes back into the queue as if this attempt had never been, and
   * other backends than those in `avoid` go first.
   */
  async handBack(claim: Claim, hasPrompt: boolean, avoid: readonly string[] = []): Promise<void> {
    if (hasPrompt) return await this.#move('handed_over', claim);
    await this.#move('handed_back', claim, {
      ...(avoid.length > 0 ? { run: { avoid: withLabels(avoid) } } : {}),
      beside: {
        forgotten: sql`
          delete from attempts using moved
           where attempts.run_id = moved.id and attempts.id = ${claim.attempt.id}::uuid`,
      },
    });
  }

  /** Gives these of the run's tasks runs of their own: they do not make the same. */
  async separate(claim: Claim, taskIds: readonly string[]): Promise<void> {
    await separateTasks(this.#door, claim.run.id, this.fence(claim), { taskIds });
  }

  /** Leaves the run to the task of the claim: no other shares it from now on. Returns the runs that those have now. */
  async separateOthers(claim: Claim): Promise<readonly string[]> {
    const leaving = { butOnly: claim.task.id };
    const moved = await separateTasks(this.#door, claim.run.id, this.fence(claim), leaving);
    return moved.map(({ run }) => run.id);
  }

  /** The run's attempts that failed, oldest first. */
  async failed({ run }: Claim): Promise<PastAttempt[]> {
    const rows = await this.#door.orm
      .select({ backend: attempts.backend, error: attempts.error })
      .from(attempts)
      .where(and(eq(attempts.runId, run.id), isNotNull(attempts.error)))
      .orderBy(asc(attempts.number));
    return rows.flatMap(({ backend, error }) => (error ? [{ backend, error }] : []));
  }

  /** Whether clients ended the run. */
  async isCanceled({ run }: Claim): Promise<boolean> {
    const [row] = await this.#door.orm
      .select({ state: runs.state })
      .from(runs)
      .where(eq(runs.id, run.id));
    return row?.state === 'canceled';
  }

  /** Whether it is sure that nothing which the attempt made is, or will be, a result. */
  async isDiscardable({ run, attempt }: Claim): Promise<boolean> {
    const [row] = await this.#door.orm
      .select({ state: runs.state, attempt: runs.attempt })
      .from(runs)
      .where(eq(runs.id, run.id));
    if (!row) return false;
    if (row.state === 'failed' || row.state === 'canceled') return true;
    return (
      row.attempt > attempt.number || (row.state === 'pending' && row.attempt === attempt.number)
    );
  }

  /** Nothing of this attempt is left on its backend. */
  async close(attemptId: string): Promise<void> {
    await this.#door.orm
      .update(attempts)
      .set({ finishedAt: sql`now()` })
      .where(and(eq(attempts.id, attemptId), sql`${attempts.finishedAt} is null`));
  }

  /** The run is ours, and its attempt the present one. */
  fence({ run, attempt }: Claim): SQL {
    return sql`(runs.id = ${run.id}::uuid and runs.owner = ${this.#door.gateway}::uuid
      and runs.attempt = ${attempt.number}::int and runs.state = 'processing')`;
  }

  /** @throws ClaimLostError when it is not ours any more; nothing is written then. */
  async #move(
    name: MoveName,
    claim: Claim,
    { body = {}, ...options }: Omit<MoveOptions, 'which'> = {},
  ): Promise<void> {
    const { number: attempt, backend } = claim.attempt;
    const moved = await this.#door.carryOut(name, {
      ...options,
      which: this.fence(claim),
      body: { attempt, backend, ...body },
    });
    if (moved.length === 0) throw new ClaimLostError(claim);
  }

  /** Changes the attempt's row as a part of a move. */
  #attempt(claim: Claim, change: PgUpdateSetSource<typeof attempts>): SQL {
    return this.#door.orm
      .update(attempts)
      .set(change)
      .from(sql`moved`)
      .where(sql`${attempts.runId} = moved.id and ${attempts.id} = ${claim.attempt.id}`)
      .getSQL();
  }
}

/** The stages of the tasks in `told`, as the news say. */
function noteStages(news: AttemptNews): SQL {
  return sql`
    update task_stages set
           state = news.state, progress = news.progress, detail = news.detail,
           -- An adopted prompt has been running since its first gateway started it.
           started_at = coalesce(task_stages.started_at, now() - news.started_ms * interval '1 ms'),
           finished_at = now() - news.finished_ms * interval '1 ms'
      from told, ${recordOf(news)}
     where task_stages.task_id = told.id and task_stages.name = news.name`;
}

/** The run's in `held`, where there are new ones. */
function noteWarnings({ warnings }: AttemptNews): SQL {
  if (warnings === null) return sql`select 1`;
  return sql`
    update runs set warnings = ${asJsonb(warnings)} from held where runs.id = held.id returning runs.id`;
}

/** As `noteStages`; all others have come to their end as well, though a crash may have kept that from being told. */
function endStages(news: AttemptNews): SQL {
  return sql`
    update task_stages set
           state = coalesce(news.state, 'success'), progress = coalesce(news.progress, 100),
           detail = coalesce(news.detail, task_stages.detail),
           started_at = coalesce(task_stages.started_at, now() - news.started_ms * interval '1 ms'),
           finished_at = now() - coalesce(news.finished_ms, 0) * interval '1 ms'
      from told, task_stages as stage left join ${recordOf(news)} on news.name = stage.name
     where task_stages.task_id = told.id and stage.task_id = told.id and task_stages.name = stage.name
       and (news.name is not null or task_stages.state in ('pending', 'running'))`;
}

function recordOf({ stages }: AttemptNews): SQL {
  const rows = [...stages].map(([name, { startedAt, finishedAt, ...shown }]) => ({
    name,
    ...shown,
    started_ms: agoMs(startedAt),
    finished_ms: agoMs(finishedAt),
  }));
  return sql`jsonb_to_recordset(${asJsonb(rows)}) as news (
    name text, state text, progress int, detail text, started_ms float8, finished_ms float8)`;
}

/** The avoided backends, with these: each once. */
function withLabels(labels: readonly string[]): SQL {
  const more = sql`${sql.param([...labels], runs.avoid)}::text[]`;
  return sql`array(select distinct unnest(coalesce(runs.avoid, '{}') || ${more}))`;
}

function resultsOf(deliveries: Deliveries): Record<string, unknown> {
  const results = [...deliveries].map(([id, outputs]) => [
    id,
    { outputs, storedBytes: storedBytes(outputs) },
  ]);
  return Object.fromEntries(results);
}

/** What of it is in our store, thumbnails aside. */
function storedBytes(outputs: readonly TaskOutput[]): number {
  const stored = outputs.filter(({ deliveredTo }) => deliveredTo === undefined);
  return stored.reduce((sum, { size }) => sum + size, 0);
}

/** Instants are the database's: ours only tell how long ago something was. */
function agoMs(at: number | null): number | null {
  return at === null ? null : performance.now() - at;
}

function changeOf({ prompt, postedAt, gpu }: AttemptNews): PgUpdateSetSource<typeof attempts> {
  return {
    ...(prompt ?? {}),
    ...(postedAt === null ? {} : { postedAt: sql`now() - ${agoMs(postedAt)} * interval '1 ms'` }),
    ...(gpu ? { usedMs: Math.round(gpu.ms) } : {}),
    ...(gpu?.isTypical ? { gpuMs: Math.round(gpu.ms) } : {}),
  };
}
