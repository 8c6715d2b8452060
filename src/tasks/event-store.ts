import type { TaskEvent } from '../core/task-event.ts';
import { asJsonb } from '../db/columns.ts';
import type { Orm } from '../db/connect.ts';
import { and, asc, eq, gt, type SQL, sql } from '../db/drizzle.ts';
import { inRounds } from '../db/in-rounds.ts';
import { taskEvents } from '../db/schema.ts';

/** Which event: its task, and its number within that. */
export type EventKey = readonly [taskId: string, number: number];

const removedAtOnce = 1_000;
/** So many are read for one follower at a time. */
const readAtOnce = 500;

/** What has happened to tasks, for those who follow them. Moves write it. */
export class EventStore {
  readonly #orm: Orm;

  constructor(orm: Orm) {
    this.#orm = orm;
  }

  /** The next events of a task after the one of that number, in their order. */
  async after(taskId: string, number: number): Promise<TaskEvent[]> {
    const isLater = and(eq(taskEvents.taskId, taskId), gt(taskEvents.number, number));
    return await this.#read(isLater).limit(readAtOnce);
  }

  /** Those of these events that are still kept, each task's in their order. */
  async find(keys: readonly EventKey[]): Promise<TaskEvent[]> {
    if (keys.length === 0) return [];
    const rows = keys.map(([id, number]) => ({ id, number }));
    // One value, however many there are: a text of its own for each number of them would be kept prepared.
    const wanted = sql`
      select id, number from jsonb_to_recordset(${asJsonb(rows)}) as wanted (id uuid, number int)`;
    return await this.#read(sql`(${taskEvents.taskId}, ${taskEvents.number}) in (${wanted})`);
  }

  /**
   * What has happened in the last so many milliseconds. An event is seen when it is committed, and bears the
   * time at which its statement began: whoever asks again and again looks back as long as a statement may
   * take.
   */
  async recent(ms: number): Promise<EventKey[]> {
    const rows = await this.#orm
      .select({ taskId: taskEvents.taskId, number: taskEvents.number })
      .from(taskEvents)
      .where(sql`${taskEvents.at} > now() - ${ms} * interval '1 ms'`)
      .orderBy(asc(taskEvents.at));
    return rows.map(({ taskId, number }) => [taskId, number]);
  }

  /** Removes events that are older; returns how many. */
  async removeOld(ms: number): Promise<number> {
    return await inRounds(removedAtOnce, async () => {
      const old = this.#orm
        .select({ taskId: taskEvents.taskId, number: taskEvents.number })
        .from(taskEvents)
        .where(sql`${taskEvents.at} < now() - ${ms} * interval '1 ms'`)
        .limit(removedAtOnce);
      const rows = await this.#orm
        .delete(taskEvents)
        .where(sql`(${taskEvents.taskId}, ${taskEvents.number}) in (${old})`)
        .returning({ number: taskEvents.number });
      return rows.length;
    });
  }

  #read(condition: SQL | undefined) {
    return this.#orm
      .select()
      .from(taskEvents)
      .where(condition)
      .orderBy(asc(taskEvents.taskId), asc(taskEvents.number));
  }
}
