import { randomUUID } from 'node:crypto';
import type { Stage } from '../core/stage.ts';
import { hasEnded, type NewTask, type Task, type TaskState } from '../core/task.ts';
import type { Warning } from '../core/warning.ts';
import { and, between, desc, eq, getTableColumns, inArray, type SQL, sql } from '../db/drizzle.ts';
import { attempts, runs, taskStages, tasks, uploads } from '../db/schema.ts';
import type { Door } from './door.ts';
import type { Room } from './quota-store.ts';
import { type TaskRow, toStages, toTask } from './rows.ts';
import { cancelTask } from './shared-runs.ts';
import { submitTask } from './submit-task.ts';

/** Whose tasks are looked at: others are not there. */
export interface TaskOwner {
  /** `null`: those of all dialects. */
  readonly dialect: string | null;
  /** `null`: everybody's. */
  readonly tenant: string | null;
}

/** Of one dialect. */
export interface DialectOwner extends TaskOwner {
  readonly dialect: string;
}

/** What a wish to cancel came to. */
export interface CancelOutcome {
  /** In which the task is afterwards. */
  readonly state: TaskState;
  /** Whether it was this wish that ended it. */
  readonly isCanceled: boolean;
}

/** A task with what is shown of its run. */
export interface TaskWithStages extends Task {
  /** How often it was tried again after a failure; an attempt that a shutdown broke off is none. */
  readonly retries: number;
  /** Set while the task waits before another try. */
  readonly runAfter: Date | null;
  readonly stages: readonly Stage[];
  /** What its client should know of its results. */
  readonly warnings: readonly Warning[];
}

/** A task may change runs while it is canceled; so often in a row it does not. */
const cancelTries = 5;

/** What clients do to the record: write a task, read it, cancel it. */
export class TaskStore {
  readonly #door: Door;

  constructor(door: Door) {
    this.#door = door;
  }

  /** When this returns, the task is kept; `null` where there was no room for it. */
  async insert(task: NewTask, room: Room): Promise<TaskWithStages | null>;
  async insert(task: NewTask, room?: null): Promise<TaskWithStages>;
  async insert(task: NewTask, room: Room | null = null): Promise<TaskWithStages | null> {
    const id = task.id ?? randomUUID();
    const written = await submitTask(this.#door, { ...task, id }, room);
    if (!written) return null;
    const unbegun = { outputs: null, retries: 0, runAfter: null, stages: [], warnings: [] };
    return { ...toTask(written.task), ...unbegun };
  }

  async find(id: string, owner: TaskOwner): Promise<TaskWithStages | null> {
    const [found] = await this.#withStages(
      await this.#select().where(and(eq(tasks.id, id), belongsTo(owner))),
    );
    return found ?? null;
  }

  /** The owner's tasks whose ids begin with these eight hex digits. */
  async findByIdStart(start: string, owner: TaskOwner): Promise<TaskWithStages[]> {
    const filledWith = (digit: string) =>
      `${start}-${[4, 4, 4, 12].map((length) => digit.repeat(length)).join('-')}`;
    const hasStart = between(tasks.id, filledWith('0'), filledWith('f'));
    return await this.#withStages(await this.#select().where(and(hasStart, belongsTo(owner))));
  }

  async newest(limit: number, owner: TaskOwner): Promise<TaskWithStages[]> {
    return await this.#withStages(
      await this.#select().where(belongsTo(owner)).orderBy(desc(tasks.seq)).limit(limit),
    );
  }

  /** Which of these ids are those of the tenant's tasks. */
  async ownAmong(ids: readonly string[], tenant: string): Promise<Set<string>> {
    if (ids.length === 0) return new Set();
    const rows = await this.#door.orm
      .select({ id: tasks.id })
      .from(tasks)
      .where(and(inArray(tasks.id, [...ids]), ofTenant(tenant)));
    return new Set(rows.map(({ id }) => id));
  }

  /** Whose task or upload has this id; `null` where there is none. */
  async tenantOf(id: string): Promise<string | null> {
    const { orm } = this.#door;
    const [found] = await orm
      .select({ tenant: tasks.tenant })
      .from(tasks)
      .where(eq(tasks.id, id))
      .unionAll(orm.select({ tenant: uploads.tenant }).from(uploads).where(eq(uploads.id, id)));
    return found?.tenant ?? null;
  }

  #select() {
    return this.#door.orm
      .select({
        ...getTableColumns(tasks),
        retries: sql<number>`coalesce(${runs.retries}, 0)`,
        runAfter: runs.runAfter,
        warnings: runs.warnings,
      })
      .from(tasks)
      .leftJoin(runs, eq(runs.id, tasks.runId));
  }

  async #withStages(rows: readonly ShownRow[]): Promise<TaskWithStages[]> {
    if (rows.length === 0) return [];
    const ids = rows.map((row) => row.id);
    const stages = await this.#door.orm
      .select()
      .from(taskStages)
      .where(inArray(taskStages.taskId, ids));
    return rows.map((row) => ({
      ...toTask(row),
      outputs: row.outputs,
      retries: row.retries,
      runAfter: row.runAfter,
      warnings: row.warnings ?? [],
      stages: toStages(stages.filter((stage) => stage.taskId === row.id)),
    }));
  }

  /**
   * Ends the task where it stands. Whoever works on it loses its claim with this write, and is told.
   * Returns `null` when there is no such task.
   */
  async cancel(id: string, owner: TaskOwner): Promise<CancelOutcome | null> {
    for (let tries = 1; ; tries += 1) {
      if (await cancelTask(this.#door, id, belongsTo(owner))) {
        return { state: 'canceled', isCanceled: true };
      }
      const [row] = await this.#door.orm
        .select({ state: tasks.state })
        .from(tasks)
        .where(and(eq(tasks.id, id), belongsTo(owner)));
      if (!row) return null;
      if (hasEnded(row.state)) return { state: row.state, isCanceled: false };
      // Its run was given up for another one in between.
      if (tries === cancelTries) throw new Error(`Task ${id} could not be canceled`);
    }
  }

  /** Prompts of attempts that are over, which may still be in the queue of a backend. */
  async leftovers(
    olderThanMs: number,
  ): Promise<{ id: string; backend: string; promptId: string }[]> {
    const rows = await this.#door.orm
      .select({ id: attempts.id, backend: attempts.backend, promptId: attempts.promptId })
      .from(attempts)
      .innerJoin(runs, eq(runs.id, attempts.runId))
      .where(
        and(
          sql`${attempts.finishedAt} is null`,
          sql`${attempts.promptId} is not null`,
          sql`(${runs.state} <> 'processing' or ${attempts.number} < ${runs.attempt})`,
          sql`${runs.movedAt} < now() - ${olderThanMs} * interval '1 ms'`,
        ),
      )
      .limit(100);
    return rows.flatMap(({ promptId, ...row }) => (promptId ? [{ ...row, promptId }] : []));
  }
}

type ShownRow = TaskRow &
  Pick<TaskWithStages, 'retries' | 'runAfter'> & { readonly warnings: readonly Warning[] | null };

export function belongsTo({ dialect, tenant }: TaskOwner): SQL | undefined {
  return and(dialect === null ? undefined : eq(tasks.dialect, dialect), ofTenant(tenant));
}

function ofTenant(tenant: string | null): SQL | undefined {
  return tenant === null ? undefined : eq(tasks.tenant, tenant);
}
