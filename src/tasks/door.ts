import type { RunState } from '../core/run.ts';
import type { EventBody, TaskEvent } from '../core/task-event.ts';
import { asJsonb } from '../db/columns.ts';
import type { Orm } from '../db/connect.ts';
import { and, eq, getTableColumns, inArray, type SQL, sql } from '../db/drizzle.ts';
import { runs, tasks } from '../db/schema.ts';
import { countMoved, type Steps, stagesOf, writeEvents } from './move-steps.ts';
import { type Move, type MoveName, moves, type RunChange, type TaskChange } from './moves.ts';
import { type MovedTask, movedTaskColumns, type RunRow } from './rows.ts';

/** A run that was moved, with one of the tasks that wait for it. */
export interface Moved {
  readonly run: RunRow;
  readonly task: MovedTask;
}

/** An event that was committed, with what it happened to. */
export interface Happening extends Moved {
  readonly event: TaskEvent;
}

export interface MoveOptions {
  /** Which of the runs in a state that the move starts from. */
  readonly which: SQL | undefined;
  readonly run?: RunChange;
  readonly task?: TaskChange;
  /** What is said of the event. */
  readonly body?: EventBody;
  /** What is said of the stages that never come to their end. */
  readonly detail?: string | null;
  /** At most so many; runs that another session has locked are passed over. */
  readonly limit?: number;
  /** Only these of the tasks; all where it is left out. */
  readonly taskIds?: readonly string[];
  /** Further parts of the statement, which may read `moved` and `told`. */
  readonly beside?: Readonly<Record<string, SQL>>;
}

/** Rows are locked for the length of a statement, which is to be short. */
export const movedAtOnce = 500;

/**
 * The one door through which runs and tasks change their state. A move is carried out for a set of runs in
 * one statement: the runs, their tasks, the stages, the counts and the events. Runs are locked before tasks,
 * and in the order of their ids, so that two moves never wait for each other in a circle.
 */
export class Door {
  readonly orm: Orm;
  /** This gateway's id, new at every start. */
  readonly gateway: string;
  readonly #tell: (happenings: readonly Happening[]) => void;

  /** `tell` hears what has happened, when it is committed. */
  constructor(
    orm: Orm,
    gateway: string,
    tell: (happenings: readonly Happening[]) => void = () => {},
  ) {
    this.orm = orm;
    this.gateway = gateway;
    this.#tell = tell;
  }

  /** Returns what was moved: nothing where no run is in such a state, and in question. */
  async carryOut(name: MoveName, options: MoveOptions): Promise<readonly Moved[]> {
    const rows = await this.#statement(name, options);
    this.told(name, rows, options.body);
    return rows;
  }

  /** As `carryOut`, again and again, until nothing is left; each round is committed on its own. */
  async carryOutAll(
    name: MoveName,
    options: MoveOptions,
    each: (moved: readonly Moved[]) => void = () => {},
  ): Promise<number> {
    let count = 0;
    for (;;) {
      const moved = await this.carryOut(name, { ...options, limit: movedAtOnce });
      each(moved);
      const runIds = new Set(moved.map(({ run }) => run.id));
      count += runIds.size;
      if (runIds.size < movedAtOnce) return count;
    }
  }

  /** What the statement of a move has done is committed by now. */
  told(name: MoveName, moved: readonly Moved[], body: EventBody = {}): void {
    const kind = moves[name].event;
    if (kind === null || moved.length === 0) return;
    const at = new Date();
    const { gateway } = this;
    this.#tell(
      moved.map(({ run, task }) => ({
        run,
        task,
        event: { taskId: task.id, number: task.events, kind, at, gateway, body },
      })),
    );
  }

  /** Steps as parts of a statement. */
  parts(steps: Steps) {
    return Object.entries(steps).map(([name, step]) => this.orm.$with(name, {}).as(step));
  }

  async #statement(name: MoveName, options: MoveOptions): Promise<readonly Moved[]> {
    const { orm } = this;
    const { from, to, run, task, stages, event }: Move = moves[name];
    const { which, limit, taskIds, body = {}, detail = null, beside = {} } = options;
    const candidates = orm
      .select({ id: runs.id, found: sql<RunState>`${runs.state}`.as('found') })
      .from(runs)
      .where(and(inArray(runs.state, [...from]), which))
      .$dynamic();
    const chosen = orm
      .$with('chosen')
      .as(
        limit === undefined
          ? candidates.for('update')
          : candidates.limit(limit).for('update', { skipLocked: true }),
      );
    const moved = orm.$with('moved').as(
      orm
        .update(runs)
        .set({ state: to, movedAt: sql`now()`, ...run, ...options.run })
        .from(chosen)
        .where(eq(runs.id, chosen.id))
        .returning({ ...getTableColumns(runs), found: sql<RunState>`chosen.found`.as('found') }),
    );
    const whose = taskIds
      ? inArray(tasks.id, [...taskIds])
      : sql`${tasks.id} = any(moved.task_ids)`;
    const numbered = event === null ? {} : { events: sql`${tasks.events} + 1` };
    const told = orm.$with('told').as(
      orm
        .update(tasks)
        .set({ state: to, updatedAt: sql`now()`, ...numbered, ...task, ...options.task })
        .from(moved)
        .where(and(whose, sql`${tasks.runId} = moved.id`))
        .returning({ ...movedTaskColumns, before: sql<RunState>`moved.found`.as('before') }),
    );
    const steps = {
      ...stagesOf(stages, detail),
      ...(from.includes(to) ? {} : countMoved),
      ...(event === null ? {} : writeEvents(event, this.gateway, asJsonb(body))),
      ...beside,
    };
    const rows = await orm
      .with(chosen, moved, told, ...this.parts(steps))
      .select({ run: moved._.selectedFields, task: told._.selectedFields })
      .from(moved)
      .innerJoin(told, sql`told.run_id = moved.id`);
    return rows as unknown as readonly Moved[];
  }
}
