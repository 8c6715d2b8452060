import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connectDatabase } from '../../src/db/connect.ts';
import { sql } from '../../src/db/drizzle.ts';
import { rowsOf } from '../../src/db/rows.ts';
import type { EmulatorProcess } from '../support/emulator-process.ts';
import { GatewayClient } from '../support/gateway-client.ts';
import type { S3Server } from '../support/s3-server.ts';
import { brokenPromises, type Ending, type GpuRun, type StoredObject } from './invariants.ts';
import { type Cast, planOf, type Step } from './plan.ts';
import { seeded } from './random.ts';
import { Recorder } from './recorder.ts';
import { type Surroundings, World, type WorldOptions } from './world.ts';

export interface Scenario extends Omit<WorldOptions, 'random'>, Cast {
  readonly seed: number;
  /** How many troubles there are, and how far apart on average, milliseconds. */
  readonly troubles: number;
  readonly everyMs: number;
  readonly clients: number;
  /** What each of them waits after each task, milliseconds. */
  readonly pauseMs: number;
  /** Once everything works again, no longer than this passes between the end of one task and the next. */
  readonly patienceMs: number;
  /** Hears of each step as it comes. */
  readonly onStep?: (step: Step) => void;
}

export interface Report {
  readonly acknowledged: number;
  readonly unanswered: number;
  readonly tasks: number;
  readonly completed: number;
  readonly runs: number;
  /** Promises that were not kept, in a sentence each. */
  readonly broken: readonly string[];
}

const lookEveryMs = 100;

/** Lets a world suffer what follows from the seed, heals it, and holds what was promised against what is. */
export async function play(scenario: Scenario): Promise<Report> {
  const { seed, troubles, everyMs, clients, pauseMs, patienceMs, onStep = () => {} } = scenario;
  await using world = await World.start({ ...scenario, random: seeded(seed + 1) });
  const madeSha256 = await madeInPeace(world);
  await using recorder = new Recorder(world, clients, pauseMs);
  using watch = new RunWatch(world.around.backends);

  const startedAt = performance.now();
  const suffered: Promise<void>[] = [];
  for (const step of planOf(seed, troubles, everyMs, scenario)) {
    await delay(Math.max(0, startedAt + step.atMs - performance.now()));
    onStep(step);
    // What takes its time, such as the start of a gateway, does not put the next trouble off.
    suffered.push(world.suffer(step.trouble));
  }
  await Promise.all(suffered);
  await recorder.end();
  await world.heal();
  const late = await recorder.untilNoneIsOpen(patienceMs);
  await watch.look();
  await world.stop();

  const tasks = await endings(world.around);
  const runs = watch.runs;
  const broken = brokenPromises({
    acknowledged: new Map(
      [...recorder.acknowledged].map(([id, expected]) => [dashed(id), expected]),
    ),
    tasks,
    runs,
    objects: await objectsOf(world.around),
    madeSha256,
    backendsDie: scenario.kinds.includes('kill-backend'),
  });
  return {
    acknowledged: recorder.acknowledged.size,
    unanswered: recorder.unanswered,
    tasks: tasks.length,
    completed: tasks.filter(({ state }) => state === 'completed').length,
    runs: runs.length,
    broken: [...world.broken, ...late, ...broken],
  };
}

/** What the workflow makes of the source, while nothing is wrong. */
async function madeInPeace({ address, around }: World): Promise<string> {
  if (address === null) throw new Error('No gateway is up');
  const client = new GatewayClient(address);
  const id = await client.submit({ url: around.sources.good, workflow: 'sleep' });
  const { output, error } = await client.until(id);
  if (!output) throw new Error(`Nothing works, even in peace: ${error}`);
  return output.metadata.sha256;
}

/** What GPUs run, looked at again and again: a server that is killed forgets. */
class RunWatch implements Disposable {
  readonly #backends: readonly EmulatorProcess[];
  readonly #runs = new Map<string, GpuRun>();
  readonly #timer: NodeJS.Timeout;

  constructor(backends: readonly EmulatorProcess[]) {
    this.#backends = backends;
    this.#timer = setInterval(() => void this.look(), lookEveryMs);
  }

  get runs(): readonly GpuRun[] {
    return [...this.#runs.values()];
  }

  async look(): Promise<void> {
    // One that is down at the moment has nothing to tell.
    const told = await Promise.allSettled(this.#backends.map((backend) => backend.runs()));
    for (const each of told) {
      if (each.status === 'rejected') continue;
      for (const run of each.value) this.#runs.set(run.promptId, run);
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

interface TaskRow extends Omit<Ending, 'finishedAt' | 'events' | 'promptIds'> {
  readonly finished_ms: number | null;
  readonly events: Ending['events'] | null;
  readonly prompt_ids: Ending['promptIds'] | null;
}

async function endings({ database: options }: Surroundings): Promise<Ending[]> {
  await using database = await connectDatabase(options);
  const rows = await database.orm.execute(sql`
    select id, state, error ->> 'code' as code, coalesce(outputs, '[]') as outputs,
           (extract(epoch from finished_at) * 1000)::float8 as finished_ms,
           (select json_agg(json_build_object('number', number, 'kind', kind) order by number)
              from task_events where task_id = tasks.id) as events,
           (select string_agg(concat_ws(' ', name, state, detail), ', ' order by name)
              from task_stages where task_id = tasks.id) as stages,
           (select json_agg(prompt_id) from attempts
             where run_id = tasks.run_id and prompt_id is not null) as prompt_ids
      from tasks order by seq`);
  return rowsOf<TaskRow>(rows).map(({ finished_ms: ms, prompt_ids, ...row }) => ({
    ...row,
    finishedAt: ms === null ? null : new Date(ms),
    events: row.events ?? [],
    promptIds: prompt_ids ?? [],
  }));
}

async function objectsOf({ bucket, objectsDir }: Surroundings): Promise<Map<string, StoredObject>> {
  return bucket ? await objectsIn(bucket) : await objectsBelow(objectsDir);
}

/** By their keys as tasks have them, without the prefix of the bucket. */
async function objectsIn({ bucket }: S3Server): Promise<Map<string, StoredObject>> {
  const found = [...bucket.objects].map(
    async ([key, blob]): Promise<[string, StoredObject]> => [
      key.replace(/^outputs\//, ''),
      { size: blob.size, sha256: await bucket.sha256(blob) },
    ],
  );
  return new Map(await Promise.all(found));
}

async function objectsBelow(folder: string): Promise<Map<string, StoredObject>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const found = entries.flatMap((entry) => {
    if (!entry.isFile()) return [];
    const path = join(entry.parentPath, entry.name);
    return (async (): Promise<[string, StoredObject]> => {
      const bytes = await readFile(path);
      const sha256 = createHash('sha256').update(bytes).digest('hex');
      return [relative(folder, path).split(sep).join('/'), { size: bytes.length, sha256 }];
    })();
  });
  return new Map(await Promise.all(found));
}

function dashed(id: string): string {
  return id.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
