import { hasEnded } from '../core/task.ts';
import type { EventBody, TaskEvent } from '../core/task-event.ts';
import { asJsonb } from '../db/columns.ts';
import type { Orm } from '../db/connect.ts';
import { type SQL, sql } from '../db/drizzle.ts';
import { inRounds } from '../db/in-rounds.ts';
import { rowsOf } from '../db/rows.ts';
import { runs, tasks } from '../db/schema.ts';
import { assignments, type Change, type Parts, withParts } from '../db/statement.ts';
import {
  chosenWithTried,
  countEnded,
  countMoved,
  hadOfGpus,
  stagesOf,
  tallyEnded,
  triedOfChosen,
  writeEvents,
} from './move-steps.ts';
import { type Move, type MoveName, moves } from './moves.ts';
import { type MovedTask, movedTaskText, type RunRow, readRun, readTask, runText } from './rows.ts';

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
  readonly which: SQL;
  readonly run?: Change<typeof runs>;
  readonly task?: Change<typeof tasks>;
  /** What is said of the event. */
  readonly body?: EventBody;
  /** What is said of the stages that never come to their end. */
  readonly detail?: string | null;
  /** How long the attempt that it ends had the GPU, milliseconds, where that is not written down yet. */
  readonly gpuMs?: number | null;
  /** At most so many; runs that another session has locked are passed over. */
  readonly limit?: number;
  /** Only these of the tasks; all where it is left out. */
  readonly taskIds?: readonly string[];
  /** Further parts of the statement, which may read `moved` and `told`. */
  readonly beside?: Parts;
}

/** A task joins a run in the very moment of its move; so often in a row none does. */
export const lateTries = 10;

const movedAtOnce = 500;

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
    for (let tries = 1; ; tries += 1) {
      const { moved, isLate } = await this.#statement(name, options);
      this.announce(name, moved, options.body);
      // A new statement sees what this one came too early for.
      if (moved.length > 0 || !isLate || tries === lateTries) return moved;
    }
  }

  /** As `carryOut`, again and again, until nothing is left; each round is committed on its own. */
  async carryOutAll(name: MoveName, options: MoveOptions): Promise<number> {
    return await inRounds(movedAtOnce, async () => {
      const moved = await this.carryOut(name, { ...options, limit: movedAtOnce });
      return new Set(moved.map(({ run }) => run.id)).size;
    });
  }

  /** What the statement of a move has done is committed by now. */
  announce(name: MoveName, moved: readonly Moved[], body: EventBody = {}): void {
    const kind = moves[name].event;
    if (kind === null || moved.length === 0) return;
    const { gateway } = this;
    this.#tell(
      moved.map(({ run, task }) => ({
        run,
        task,
        event: { taskId: task.id, number: task.events, kind, at: task.updatedAt, gateway, body },
      })),
    );
  }

  /** Runs a statement whose parts give the runs `moved` and their tasks `told`. */
  async run(orm: Orm, parts: Parts): Promise<readonly Moved[]> {
    const result = await orm.execute(sql`${withParts(parts)}${movedWithTold}`);
    return rowsOf<MovedJson>(result).map(readMoved);
  }

  /** `isLate`: a run was let be, as a task has joined it since the statement began. */
  async #statement(
    name: MoveName,
    options: MoveOptions,
  ): Promise<{ readonly moved: readonly Moved[]; readonly isLate: boolean }> {
    const { from, to, run, task, stages, event, isTallied }: Move = moves[name];
    const { which, limit, taskIds, body = {}, detail = null, gpuMs = null, beside = {} } = options;
    const runChange = { state: to, movedAt: sql`now()`, ...run, ...options.run };
    const numbered = event === null ? {} : { events: sql`tasks.events + 1` };
    const taskChange = {
      ...{ state: to, updatedAt: sql`now()` },
      ...numbered,
      ...task,
      ...options.task,
    };
    const states = sql.raw(from.map((state) => `'${state}'`).join(', '));
    const atMost = limit === undefined ? sql`` : sql.raw(`limit ${limit}`);
    const passingOver = sql.raw(limit === undefined ? '' : 'skip locked');
    const whose = taskIds
      ? sql`tasks.id = any(${sql.param([...taskIds], runs.taskIds)}::uuid[])`
      : sql`tasks.id = any(moved.task_ids)`;
    const parts = withParts({
      chosen: sql`
        select id, state as found, attempt, lease_until as held_until, ${seesItsTasks} as is_seen from runs
         where state in (${states}) and ${which}
         ${atMost} for update ${passingOver}`,
      ...(isTallied ? triedOfChosen : {}),
      moved: sql`
        update runs set ${assignments(runs, runChange)}
          from ${isTallied ? chosenWithTried : sql`chosen`}
         where runs.id = chosen.id and chosen.is_seen
        returning ${runText.qualified}, chosen.found${isTallied ? sql`, ${hadOfGpus}` : sql``}`,
      told: sql`
        update tasks set ${assignments(tasks, taskChange)} from moved
         where ${whose} and tasks.run_id = moved.id
        returning ${movedTaskText.qualified}, moved.found as before`,
      ...stagesOf(stages, detail),
      ...(from.includes(to) ? {} : countMoved),
      ...(hasEnded(to) ? countEnded : {}),
      ...(isTallied ? tallyEnded(gpuMs) : {}),
      ...(event === null ? {} : writeEvents(event, this.gateway, asJsonb(body))),
      ...beside,
    });
    const result = await this.orm.execute(sql`${parts}${movedWithTold}${andUnseen}`);
    const rows = rowsOf<MovedJson | Unseen>(result);
    const moved = rows.flatMap((row) => (row.run === null ? [] : readMoved(row)));
    return { moved, isLate: moved.length < rows.length };
  }
}

/**
 * Whether the statement sees each task of the run, as one of the run. It has the run as it is when it is
 * locked, but its tasks as they were when the statement began: one that has joined since would be left behind.
 */
export const seesItsTasks = sql`(
  cardinality(runs.task_ids) = (
    select count(*) from tasks where tasks.id = any(runs.task_ids) and tasks.run_id = runs.id))`;

const movedWithTold = sql.raw(
  ' select to_jsonb(moved) as run, to_jsonb(told) as task from moved join told on told.run_id = moved.id',
);
const andUnseen = sql.raw(' union all select null, null from chosen where not is_seen');

function readMoved({ run, task }: MovedJson): Moved {
  return { run: readRun(run), task: readTask(task) };
}

interface Unseen {
  readonly run: null;
}

interface MovedJson {
  readonly run: Readonly<Record<string, unknown>>;
  readonly task: Readonly<Record<string, unknown>>;
}
