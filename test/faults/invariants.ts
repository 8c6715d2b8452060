import { type ErrorCode, faultOf } from '../../src/core/errors.ts';
import type { TaskOutput, TaskState } from '../../src/core/task.ts';
import { isLast, type TaskEvent } from '../../src/core/task-event.ts';
import type { Expected } from './recorder.ts';

/** A task as it is on record in the end. */
export interface Ending {
  readonly id: string;
  readonly state: TaskState;
  readonly code: ErrorCode | null;
  readonly finishedAt: Date | null;
  readonly outputs: readonly Pick<TaskOutput, 'key' | 'size' | 'sha256'>[];
  readonly events: readonly Pick<TaskEvent, 'number' | 'kind'>[];
  /** How far it came, to be read by people. */
  readonly stages: string;
  /** Of all its attempts that had one. */
  readonly promptIds: readonly string[];
}

/** A prompt that had a GPU; milliseconds since 1970. */
export interface GpuRun {
  readonly promptId: string;
  readonly startedAt: number;
  /** `null` for one that went with its server, or still runs. */
  readonly endedAt: number | null;
  readonly outcome: string;
}

/** What a store holds under a key. */
export interface StoredObject {
  readonly size: number;
  readonly sha256: string;
}

export interface Evidence {
  readonly acknowledged: ReadonlyMap<string, Expected>;
  readonly tasks: readonly Ending[];
  readonly runs: readonly GpuRun[];
  readonly objects: ReadonlyMap<string, StoredObject>;
  /** Of every result, by what the workflow makes of the source. */
  readonly madeSha256: string;
  /** Servers were killed: a prompt may run again, and a task under which several died may fail. */
  readonly backendsDie: boolean;
}

/** A GPU may begin with what was ended this shortly before. */
const stragglersMs = 5_000;

/** The promises that were not kept, in a sentence each. */
export function brokenPromises(evidence: Evidence): string[] {
  const byId = new Map(evidence.tasks.map((task) => [task.id, task]));
  return [
    ...[...evidence.acknowledged].flatMap(([id, expected]) =>
      brokenFor(id, byId.get(id), expected, evidence.backendsDie),
    ),
    ...evidence.tasks.flatMap((task) => [
      ...brokenEvents(task),
      ...brokenObjects(task, evidence),
      ...brokenRuns(task, evidence),
    ]),
    ...strayRuns(evidence),
  ];
}

/** Every task that was answered with an id is there, and ends as it has to. */
function brokenFor(
  id: string,
  task: Ending | undefined,
  expected: Expected,
  backendsDie: boolean,
): string[] {
  if (!task) return [`task ${id} was acknowledged and is not on record`];
  const { state, code } = task;
  const diedWithBackends = backendsDie && code !== null && faultOf(code) === 'backend';
  const isKept = {
    completed: state === 'completed' || diedWithBackends,
    refused: state === 'failed' && code === 'source_refused',
    canceled: state === 'canceled',
    'completed or canceled': state === 'completed' || state === 'canceled',
  }[expected];
  return isKept ? [] : [`task ${id} is ${state} ${code ?? ''}, expected ${expected}`];
}

/** It ends once, and nothing happens to it after that. */
function brokenEvents({ id, state, events, stages }: Ending): string[] {
  const ends = events.filter(isLast);
  const kinds = events.map(({ kind }) => kind).join(' ');
  const broken: string[] = [];
  if (events.some(({ number }, i) => number !== i + 1)) broken.push(`task ${id} lacks events`);
  if (ends.length !== 1 || events.at(-1) !== ends[0]) {
    broken.push(`task ${id}, ${state}, has ${ends.length} ends: ${kinds}; ${stages}`);
  }
  return broken;
}

/** What it says that it made lies in the store, and is what the workflow makes. */
function brokenObjects(
  { id, state, outputs }: Ending,
  { objects, madeSha256 }: Pick<Evidence, 'objects' | 'madeSha256'>,
): string[] {
  if (state !== 'completed') return [];
  if (outputs.length === 0) return [`task ${id} completed without a result`];
  return outputs.flatMap(({ key, size, sha256 }) => {
    const stored = objects.get(key);
    if (!stored) return [`the result ${key} of task ${id} is not in the store`];
    const isSame = stored.size === size && stored.sha256 === sha256 && sha256 === madeSha256;
    return isSame ? [] : [`the result ${key} of task ${id} is not what was made`];
  });
}

/** No GPU works on what has ended, or twice on the same where nothing made it. */
function brokenRuns(
  { id, finishedAt, promptIds, events }: Ending,
  { runs, backendsDie }: Pick<Evidence, 'runs' | 'backendsDie'>,
): string[] {
  const own = runs.filter(({ promptId }) => promptIds.includes(promptId));
  const late = own.filter(
    ({ startedAt }) => finishedAt && startedAt > finishedAt.getTime() + stragglersMs,
  );
  const whole = own.filter(({ outcome }) => outcome === 'success');
  const broken = late.map(
    ({ promptId }) => `prompt ${promptId} ran after its task ${id} had ended`,
  );
  if (!backendsDie && whole.length > 1) {
    const kinds = events.map(({ kind }) => kind).join(' ');
    broken.push(`task ${id} ran ${whole.length} times: ${kinds}`);
  }
  if (own.some((run) => own.some((other) => overlap(run, other)))) {
    broken.push(`task ${id} ran on two GPUs at once`);
  }
  return broken;
}

function overlap(run: GpuRun, other: GpuRun): boolean {
  if (run === other || run.endedAt === null) return false;
  return other.startedAt >= run.startedAt && other.startedAt < run.endedAt;
}

/** Every prompt is of an attempt on record, written down before it was posted. */
function strayRuns({ tasks, runs }: Pick<Evidence, 'tasks' | 'runs'>): string[] {
  const known = new Set(tasks.flatMap(({ promptIds }) => promptIds));
  return runs.flatMap(({ promptId }) =>
    known.has(promptId) ? [] : [`prompt ${promptId} is of no attempt`],
  );
}
