import { randomUUID } from 'node:crypto';
import { agePerPriorityMs, defaultPriority } from '../core/schedule.ts';
import type { Stage } from '../core/stage.ts';
import { stageNames } from '../core/stage.ts';
import type { NewTask, Task, TaskState } from '../core/task.ts';
import { uploadIdOf } from '../core/upload.ts';
import type { Orm } from '../db/connect.ts';
import { and, between, desc, eq, inArray, type SQL, sql } from '../db/drizzle.ts';
import { notification, notify } from '../db/notices.ts';
import { attempts, taskStages, tasks, uploads } from '../db/schema.ts';
import { ended, skipStages } from './changes.ts';
import { type TaskRow, toStages, toTask } from './rows.ts';
import { wakeFollowers } from './twins.ts';

/** Whose tasks are looked at: others are not there. */
export interface TaskOwner {
  readonly dialect: string;
  /** `null`: everybody's. */
  readonly tenant: string | null;
}

/** What a wish to cancel came to. */
export interface CancelOutcome {
  /** In which the task is afterwards. */
  readonly state: TaskState;
  /** The task, where it was this wish that ended it. */
  readonly canceled: Task | null;
}

export interface TaskWithStages extends Task {
  readonly stages: readonly Stage[];
}

/** What clients do to the record: write a task, read it, cancel it. */
export class TaskStore {
  readonly #orm: Orm;

  constructor(orm: Orm) {
    this.#orm = orm;
  }

  /**
   * Writes the task, its stages and its hold on the uploads that it uses in one statement; when this
   * returns, the task is kept.
   */
  async insert({ queueTimeoutMs, runTimeoutMs, keepMs, ...task }: NewTask): Promise<Task> {
    const orm = this.#orm;
    const id = task.id ?? randomUUID();
    const priority = task.priority ?? defaultPriority;
    const inserted = orm.$with('inserted').as(
      orm
        .insert(tasks)
        .values({
          ...task,
          id,
          delivery: keepMs === undefined ? task.delivery : { ...task.delivery, keepMs },
          priority,
          rank: sql`now() - ${priority * agePerPriorityMs} * interval '1 ms'`,
          queueTimeoutMs: queueTimeoutMs ?? null,
          queueDeadline: queueTimeoutMs ? sql`now() + ${queueTimeoutMs} * interval '1 ms'` : null,
          runTimeoutMs: runTimeoutMs ?? null,
        })
        .returning(),
    );
    const names = sql.join(
      stageNames.map((name) => sql`(${name})`),
      sql`, `,
    );
    const stages = orm.$with('stages', {}).as(
      sql`insert into task_stages (task_id, name)
          select inserted.id, stage.name from inserted, (values ${names}) as stage (name)`,
    );
    const files = task.sources.flatMap(({ url }) => uploadIdOf(url) ?? []);
    const held = orm.$with('held', {}).as(
      sql`insert into task_uploads (task_id, upload_id)
          select inserted.id, uploads.id from inserted, uploads
          where ${inArray(uploads.id, files)}`,
    );
    const [row] = await orm
      .with(inserted, stages, ...(files.length > 0 ? [held] : []))
      .select({ ...inserted._.selectedFields, notified: notification('ready', id) })
      .from(inserted);
    const { notified: _, ...columns } = row as TaskRow & { notified: unknown };
    return toTask(columns);
  }

  async find(id: string, owner: TaskOwner): Promise<TaskWithStages | null> {
    const [found] = await this.#withStages(
      await this.#orm
        .select()
        .from(tasks)
        .where(and(eq(tasks.id, id), belongsTo(owner))),
    );
    return found ?? null;
  }

  /** The owner's tasks whose ids begin with these eight hex digits. */
  async findByIdStart(start: string, owner: TaskOwner): Promise<TaskWithStages[]> {
    const [first, last] = ['0', 'f'].map(
      (digit) => `${start}-${[4, 4, 4, 12].map((length) => digit.repeat(length)).join('-')}`,
    ) as [string, string];
    return await this.#withStages(
      await this.#orm
        .select()
        .from(tasks)
        .where(and(between(tasks.id, first, last), belongsTo(owner))),
    );
  }

  async newest(limit: number, tenant: string | null): Promise<TaskWithStages[]> {
    return await this.#withStages(
      await this.#orm
        .select()
        .from(tasks)
        .where(ofTenant(tenant))
        .orderBy(desc(tasks.seq))
        .limit(limit),
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

  /**
   * Ends the task where it stands. Whoever works on it loses its claim with this write, and is told.
   * Returns `null` when there is no such task.
   */
  async cancel(id: string, owner: TaskOwner): Promise<CancelOutcome | null> {
    const { outcome, fingerprint } = await this.#orm.transaction(async (tx) => {
      const [canceled] = await tx
        .update(tasks)
        .set({ ...ended, state: 'canceled', updatedAt: sql`now()` })
        .where(
          and(eq(tasks.id, id), belongsTo(owner), inArray(tasks.state, ['pending', 'processing'])),
        )
        .returning();
      if (canceled) {
        await skipStages(tx, id, 'Canceled');
        await notify(tx, 'canceled', id);
        const outcome = { state: canceled.state, canceled: toTask(canceled) };
        return { outcome, fingerprint: canceled.fingerprint };
      }
      const [row] = await tx
        .select({ state: tasks.state })
        .from(tasks)
        .where(and(eq(tasks.id, id), belongsTo(owner)));
      return { outcome: row ? { ...row, canceled: null } : null, fingerprint: null };
    });
    // Its followers wait no longer; were that lost, they would be woken a little later.
    if (fingerprint) await wakeFollowers(this.#orm, fingerprint, 1).catch(() => {});
    return outcome;
  }

  /** Prompts of attempts that are over, which may still be in the queue of a backend. */
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
          sql`(${tasks.state} <> 'processing' or ${attempts.number} < ${tasks.attempt})`,
          sql`${tasks.updatedAt} < now() - ${olderThanMs} * interval '1 ms'`,
        ),
      )
      .limit(100);
    return rows.map((row) => ({ ...row, promptId: row.promptId as string }));
  }
}

export function belongsTo({ dialect, tenant }: TaskOwner): SQL | undefined {
  return and(eq(tasks.dialect, dialect), ofTenant(tenant));
}

function ofTenant(tenant: string | null): SQL | undefined {
  return tenant === null ? undefined : eq(tasks.tenant, tenant);
}
