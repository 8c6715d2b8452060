import type { MediaInfo } from './media.ts';
import type { ResultOwner } from './result-key.ts';
import type { Run } from './run.ts';
import type { Task, TaskError } from './task.ts';

/** One try of a run on one backend. Its number fences every write that is made for it. */
export interface Attempt {
  /** A UUID; also the folder of its files on the backend. */
  readonly id: string;
  /** 1, 2, … within the run. */
  readonly number: number;
  /** Where it began or was adopted, without credentials; its seat knows where it is by now. */
  readonly backend: string;
  /** Stored before the prompt is posted; `null` while nothing can be running on the backend. */
  readonly promptId: string | null;
  /** When the prompt was posted; `null` while it is at most made ready. */
  readonly postedAt: Date | null;
  /** What the main input turned out to be; known once there is a prompt, if there is an input. */
  readonly input: MediaInfo | null;
}

/** A run that this gateway owns for now, with the attempt that it works on. */
export interface Claim {
  readonly run: Run;
  /** The first of the tasks that wait for it: whose name the results have. */
  readonly task: Omit<Task, 'outputs'>;
  readonly attempt: Attempt;
}

/** Whose results the attempt stores: those of this task, one that waits for the run. */
export function resultOwnerOf(
  { run, task: first, attempt }: Claim,
  task: ResultOwner['task'] = first,
): ResultOwner {
  return { task, secret: run.secret, attempt: attempt.number };
}

/** An attempt that failed, as far as the next decision depends on it. */
export interface PastAttempt {
  readonly backend: string;
  readonly error: TaskError;
}
