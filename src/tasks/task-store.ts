import { randomUUID } from 'node:crypto';
import { and, count, desc, eq, inArray, sql } from 'drizzle-orm';
import type { Stage } from '../core/stage.ts';
import { stageNames } from '../core/stage.ts';
import type { NewTask, Task, TaskState } from '../core/task.ts';
import { taskStates } from '../core/task.ts';
import type { Orm } from '../db/connect.ts';
import { attempts, taskStages, tasks } from '../db/schema.ts';
import { toStages, toTask } from './rows.ts';
import { notify } from './task-events.ts';

export interface TaskWithStages extends Task {
  readonly stages: readonly Stage[];
}

/** What clients do to the record: write a task, read it, cancel it. */
export class TaskStore {
  readonly #orm: Orm;

  constructor(orm: Orm) {
    this.#orm = orm;
  }

  /** Writes the task and its stages in one transaction; when this returns, the task is kept. */
  async insert(task: NewTask): Promise<Task> {
    const id = randomUUID();
    return await this.#orm.transaction(async (tx) => {
      const [row] = await tx
        .insert(tasks)
        .values({ id, ...task })
        .returning();
      await tx.insert(taskStages).values(stageNames.map((name) => ({ taskId: id, name })));
      await notify(tx, 'ready', id);
      return toTask(row as typeof tasks.$inferSelect);
    });
  }

  async find(id: string, dialect: string): Promise<TaskWithStages | null> {
    const [found] = await this.#withStages(
      await this.#orm
        .select()
        .from(tasks)
        .where(and(eq(tasks.id, id), eq(tasks.dialect, dialect))),
    );
    return found ?? null;
  }

  async newest(limit: number): Promise<TaskWithStages[]> {
    return await this.#withStages(
      await this.#orm.select().from(tasks).orderBy(desc(tasks.seq)).limit(limit),
    );
  }

  async #withStages(rows: (typeof tasks.$inferSelect)[]): Promise<TaskWithStages[]> {
    if (rows.length === 0) return [];
    const ids = rows.map((row) => row.id);
    const stages = await this.#orm.select().from(taskStages).where(inArray(taskStages.taskId, ids));
    return rows.map((row) => ({
      ...toTask(row),
      stages: toStages(stages.filter((stage) => stage.taskId === row.id)),
    }));
  }

  /** How many tasks are in each state. Reads the whole index: not for every request. */
  async countByState(): Promise<Record<TaskState, number>> {
    const rows = await this.#orm
      .select({ state: tasks.state, count: count() })
      .from(tasks)
      .groupBy(tasks.state);
    const counts = Object.fromEntries(taskStates.map((state) => [state, 0]));
    for (const row of rows) counts[row.state] = row.count;
    return counts as Record<TaskState, number>;
  }

  /**
   * Ends the task where it stands. Whoever works on it loses its claim with this write, and is told.
   * Returns the state that the task is in afterwards, or `null` when there is no such task.
   */
  async cancel(id: string, dialect: string): Promise<TaskState | null> {
    return await this.#orm.transaction(async (tx) => {
      const [canceled] = await tx
        .update(tasks)
        .set({
          state: 'canceled',
          owner: null,
          leaseUntil: null,
          runAfter: null,
          finishedAt: sql`now()`,
          updatedAt: sql`now()`,
        })
        .where(
          and(
            eq(tasks.id, id),
            eq(tasks.dialect, dialect),
            inArray(tasks.state, ['pending', 'processing']),
          ),
        )
        .returning({ state: tasks.state });
      if (canceled) {
        await tx
          .update(taskStages)
          .set({ state: 'skipped', detail: 'Canceled', finishedAt: sql`now()` })
          .where(and(eq(taskStages.taskId, id), inArray(taskStages.state, ['pending', 'running'])));
        await notify(tx, 'canceled', id);
        return canceled.state;
      }
      const [row] = await tx
        .select({ state: tasks.state })
        .from(tasks)
        .where(and(eq(tasks.id, id), eq(tasks.dialect, dialect)));
      return row?.state ?? null;
    });
  }

  /** Prompts of tasks that have ended, which may still be in the queue of a backend. */
  async leftovers(
    olderThanMs: number,
  ): Promise<{ id: string; backend: string; promptId: string }[]> {
    const rows = await this.#orm
      .select({ id: attempts.id, backend: attempts.backend, promptId: attempts.promptId })
      .from(attempts)
      .innerJoin(tasks, eq(tasks.id, attempts.taskId))
      .where(
        and(
          sql`${attempts.finishedAt} is null`,
          sql`${attempts.promptId} is not null`,
          inArray(tasks.state, ['completed', 'failed', 'canceled']),
          sql`${tasks.updatedAt} < now() - ${olderThanMs} * interval '1 ms'`,
        ),
      )
      .limit(100);
    return rows.map((row) => ({ ...row, promptId: row.promptId as string }));
  }
}
