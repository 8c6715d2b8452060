import type { ResultKind } from './result-format.ts';
import type { SizeRequest } from './size-plan.ts';
import type { NewTask, Source, TaskState } from './task.ts';
import type { Warning } from './warning.ts';

/** A run waits, is worked on under a claim, and ends once, in one of the other three: as a task does. */
export type RunState = TaskState;

/** What a GPU is given. */
export interface PlannedRun {
  readonly kind: ResultKind;
  readonly workflow: string;
  /** Which version of it. */
  readonly workflowHash: string;
  /** The main input's first. */
  readonly sources: readonly Source[];
  readonly arguments: Readonly<Record<string, unknown>>;
  readonly size: SizeRequest;
}

/** A run that stands in the queue, is worked on, or has ended. */
export interface Run extends PlannedRun {
  /** A UUID. */
  readonly id: string;
  /** The tasks that wait for it, at least one while it is open; its results have the first one's name. */
  readonly taskIds: readonly string[];
  /** In the addresses of its results, and nowhere else; `null` for a run from before there were any. */
  readonly secret: string | null;
  readonly tenant: string;
  readonly priority: number;
  readonly runTimeoutMs: number | null;
  readonly state: RunState;
  /** How many attempts were begun; the number of the present one, which fences its writes. */
  readonly attempt: number;
  /** How often it was tried again after a failure; an attempt that a shutdown broke off is none. */
  readonly retries: number;
  /** Whether it has links that nobody has begun to read ahead of its first attempt. */
  readonly isUnread: boolean;
  /** Of everything that its outputs follow from; `null` while nobody knows. */
  readonly fingerprint: string | null;
  /** What its tasks' clients should know of its results. */
  readonly warnings: readonly Warning[];
}

/** What has to be run for the task, the run of its results last. At present that is always one. */
export function plan(
  task: Pick<NewTask, keyof PlannedRun>,
): readonly [...PlannedRun[], PlannedRun] {
  const { kind, workflow, workflowHash, sources, arguments: chosen, size } = task;
  return [{ kind, workflow, workflowHash, sources, arguments: chosen, size }];
}

/** The state of a task with these runs, which are all that it needs. */
export function taskState(runs: readonly RunState[]): TaskState {
  const some = (state: RunState) => runs.includes(state);
  if (some('canceled')) return 'canceled';
  if (some('failed')) return 'failed';
  if (runs.every((state) => state === 'completed')) return 'completed';
  // Between two of its runs a task is worked on, whether or not a GPU is.
  return some('processing') || some('completed') ? 'processing' : 'pending';
}
