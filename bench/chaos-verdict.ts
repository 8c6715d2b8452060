import { connectDatabase, type DatabaseOptions } from '../src/db/connect.ts';
import { sql } from '../src/db/drizzle.ts';
import { rowsOf } from '../src/db/rows.ts';
import type { GatewayProcess, LogEvent } from '../test/support/gateway-process.ts';
import type { Death } from '../test/support/load.ts';

/** The setting that the gateways of `chaos.ts` have. */
export const maxAttempts = 3;
const takenOverWithinMs = 20_000;

/** A prompt that had a GPU. */
export interface Run {
  readonly promptId: string;
  readonly startedAt: number;
  /** `null`: its server was killed, or it still runs. */
  readonly endedAt: number | null;
  readonly outcome: string;
  readonly backend: string;
}

export interface Evidence {
  readonly name: string;
  readonly database: DatabaseOptions;
  readonly runs: readonly Run[];
  readonly gateways: readonly GatewayProcess[];
  readonly deaths?: readonly Death[];
  /** By backend, when it was killed. */
  readonly backendKills?: ReadonlyMap<string, readonly number[]>;
  /** What the scenario itself found broken. */
  readonly broken?: readonly string[];
  /** And what else it measured. */
  readonly figures?: Verdict['figures'];
}

export interface Verdict {
  readonly name: string;
  readonly figures: Readonly<Record<string, string | number>>;
  /** Promises that were not kept, in a sentence each. */
  readonly broken: readonly string[];
}

interface TaskRow {
  readonly id: string;
  readonly state: string;
  readonly code: string | null;
  readonly retries: number;
}

interface AttemptRow {
  readonly task_id: string;
  readonly prompt_id: string | null;
}

/** Holds what is on record against what ran and what was logged. */
export async function judge(evidence: Evidence): Promise<Verdict> {
  const { name, runs, backendKills } = evidence;
  const { tasks, attempts } = await readRecord(evidence.database);
  const taskOf = new Map(attempts.map((each) => [each.prompt_id, each.task_id]));
  const backendsDie = backendKills !== undefined;
  const broken = [...(evidence.broken ?? [])];

  for (const { id, state, code } of tasks) {
    const hasEnded = state === 'completed' || (backendsDie && state === 'failed');
    if (!hasEnded) broken.push(`task ${id} is ${state} ${code ?? ''}`);
  }
  const tried = new Map<string, number>();
  for (const { task_id: id } of attempts) tried.set(id, (tried.get(id) ?? 0) + 1);
  const most = Math.max(
    ...tasks.map(({ id, retries }) => Math.max(tried.get(id) ?? 0, retries + 1)),
  );
  if (backendsDie && most > maxAttempts) broken.push(`a task had ${most} attempts`);

  const extra = { lost: 0, adoptable: 0 };
  for (const [taskId, ofTask] of byTask(runs, taskOf)) {
    for (const [i, run] of ofTask.slice(0, -1).entries()) {
      const next = ofTask[i + 1] as Run;
      if (wentWithItsServer(run, next, backendKills)) extra.lost += 1;
      else {
        extra.adoptable += 1;
        broken.push(`a prompt of task ${taskId} ran again: ${describe(run)}, ${describe(next)}`);
      }
    }
  }
  for (const run of runs) {
    if (!taskOf.has(run.promptId)) broken.push(`a run of no attempt: ${describe(run)}`);
    if (run.outcome === 'interrupted') broken.push(`interrupted: ${describe(run)}`);
  }

  const takeovers = { tasks: taskTakeovers(evidence), backends: backendTakeovers(evidence) };
  for (const [what, times] of Object.entries(takeovers)) {
    for (const ms of times.filter((ms) => ms > takenOverWithinMs)) {
      broken.push(`${what} taken over after ${seconds(ms)}`);
    }
  }
  return {
    name,
    figures: {
      tasks: tasks.length,
      completed: tasks.filter(({ state }) => state === 'completed').length,
      failed: countBy(tasks.filter(({ state }) => state === 'failed').map(({ code }) => `${code}`)),
      'most attempts': most,
      'prompts run': runs.length,
      'again, server died': extra.lost,
      'again, adoptable': extra.adoptable,
      deaths: (evidence.deaths ?? [...(backendKills?.values() ?? [])].flat()).length || '',
      adopted: takeovers.tasks.length || '',
      'longest takeover, tasks': longest(takeovers.tasks),
      'longest takeover, backends': longest(takeovers.backends),
      ...evidence.figures,
    },
    broken,
  };
}

async function readRecord(options: DatabaseOptions) {
  await using database = await connectDatabase(options);
  const tasks = await database.orm.execute(
    sql`
      select tasks.id, tasks.state, tasks.error ->> 'code' as code, coalesce(runs.retries, 0) as retries
        from tasks left join runs on runs.id = tasks.run_id order by tasks.seq`,
  );
  const attempts = await database.orm.execute(sql`select task_id, prompt_id from attempts`);
  return { tasks: rowsOf<TaskRow>(tasks), attempts: rowsOf<AttemptRow>(attempts) };
}

/** In the order in which they ran. */
function byTask(runs: readonly Run[], taskOf: ReadonlyMap<string | null, string>) {
  const sorted = runs.toSorted((a, b) => a.startedAt - b.startedAt);
  return Map.groupBy(sorted, ({ promptId }) => taskOf.get(promptId) ?? `of prompt ${promptId}`);
}

/** Whether its server was killed before anybody could have had its result. */
function wentWithItsServer(run: Run, next: Run, kills: Evidence['backendKills']): boolean {
  const times = kills?.get(run.backend) ?? [];
  return times.some((at) => at >= run.startedAt && at <= next.startedAt);
}

interface Logged extends LogEvent {
  readonly by: GatewayProcess;
  readonly at: number;
}

function everyLog({ gateways }: Evidence): Logged[] {
  return gateways
    .flatMap((by) => by.log.map((event) => ({ ...event, by, at: Date.parse(`${event.time}`) })))
    .sort((a, b) => a.at - b.at);
}

/** From each death to the adoption of what the dead one ran, milliseconds. */
function taskTakeovers(evidence: Evidence): number[] {
  const holders = new Map<string, GatewayProcess>();
  return everyLog(evidence).flatMap(({ msg, task, attempt, by, at }) => {
    const key = `${task} ${attempt}`;
    const former = holders.get(key);
    if (msg === 'attempt.started') holders.set(key, by);
    if (msg !== 'attempt.adopted' || !former || former === by) return [];
    return since(evidence, former, at);
  });
}

/** From each death to the new lease of what the dead one drove, milliseconds. */
function backendTakeovers(evidence: Evidence): number[] {
  const drivers = new Map<unknown, GatewayProcess>();
  return everyLog(evidence).flatMap(({ msg, backend, by, at }) => {
    const former = drivers.get(backend);
    if (msg === 'lease.given-up' && former === by) drivers.delete(backend);
    if (msg !== 'lease.taken') return [];
    drivers.set(backend, by);
    return former && former !== by ? since(evidence, former, at) : [];
  });
}

function since({ deaths = [] }: Evidence, dead: GatewayProcess, at: number): number[] {
  const death = deaths.findLast((each) => each.of === dead && each.at <= at);
  return death ? [at - death.at] : [];
}

function longest(times: readonly number[]): string {
  return times.length > 0 ? seconds(Math.max(...times)) : '';
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

function countBy(words: readonly string[]): string {
  const counts = Object.entries(Object.groupBy(words, (word) => word));
  return counts.map(([word, all]) => `${word} ${all?.length}`).join(', ') || '0';
}

function describe({ promptId, backend, startedAt, endedAt, outcome }: Run): string {
  const span = `${new Date(startedAt).toISOString()} to ${endedAt ? new Date(endedAt).toISOString() : '?'}`;
  return `${promptId} on ${backend}, ${span}, ${outcome}`;
}
