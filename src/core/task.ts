import type { Delivery } from './delivery.ts';
import type { ErrorCode } from './errors.ts';
import type { MediaInfo } from './media.ts';
import type { ResultKind } from './result-format.ts';
import type { SizeRequest } from './size-plan.ts';
import type { StageName } from './stage.ts';

/**
 * A task waits (`pending`), is worked on under a claim (`processing`), and ends once, in one of the
 * other three. A task whose attempt failed but may be tried again is `pending` once more.
 */
export const taskStates = ['pending', 'processing', 'completed', 'failed', 'canceled'] as const;
export type TaskState = (typeof taskStates)[number];

export function hasEnded(state: TaskState): boolean {
  return state === 'completed' || state === 'failed' || state === 'canceled';
}

/** Where the file for an input comes from. */
export interface Source {
  /** The workflow's input that it is for. */
  readonly input: string;
  readonly url: string;
  /** What the client calls the file, where its address does not tell. */
  readonly name?: string;
}

/** Whether it has to be read from a server: one that is not ours, unless the address is that of our own store. */
export function isLink({ url }: Source): boolean {
  return /^https?:/i.test(url);
}

/** What a dialect makes of a request. */
export interface TaskRequest extends TaskWishes {
  /** Whether the quotas of its tenant hold for it; they do where it is left out. */
  readonly isLimited?: boolean;
  readonly dialect: string;
  /** What the client takes the workflow to work on; `null` leaves it to the workflow. */
  readonly kind: ResultKind | null;
  readonly workflow: string;
  /** The file for the workflow's main input; `null` where it has none, or `inputs` names it. */
  readonly url: string | null;
  /** By the names of the workflow's inputs and parameters: addresses of files, and values. */
  readonly inputs: Readonly<Record<string, unknown>>;
  /** Whether it may wait for a backend that can run it where at present none can. */
  readonly mayWait?: boolean;
}

/** A task that was found good. */
export interface NewTask extends TaskWishes {
  readonly dialect: string;
  readonly kind: ResultKind;
  /** The main input's first. */
  readonly sources: readonly Source[];
  readonly workflow: string;
  /** The version of it that is run; empty only for tasks from before there were versions. */
  readonly workflowHash: string;
  /** The values that it chose for the workflow's parameters. */
  readonly arguments: Readonly<Record<string, unknown>>;
}

/** What a client asks for whatever the workflow. */
interface TaskWishes {
  /** A UUID that nobody can guess, for dialects that show ids of another form; drawn where it is left out. */
  readonly id?: string;
  readonly size: SizeRequest;
  readonly delivery: Delivery;
  /** The request as the client wrote it, shown back to it. */
  readonly params: Readonly<Record<string, unknown>>;
  /** 0 to 10; the higher goes first. */
  readonly priority?: number;
  /** On whose account: within one priority all tenants get equal shares. */
  readonly tenant?: string;
  /** How long it may wait for an attempt, milliseconds; `null` for ever. */
  readonly queueTimeoutMs?: number | null;
  /** How long a prompt of it may take, milliseconds; `null` for ever. */
  readonly runTimeoutMs?: number | null;
  /** How long its results are kept after it has completed, milliseconds; as the settings say where it is left out. */
  readonly keepMs?: number;
}

export interface Task extends Omit<NewTask, 'queueTimeoutMs' | 'keepMs'> {
  /** A UUID; dialects show it in their own way. */
  readonly id: string;
  /** The run whose results are the task's; `null` only for tasks of which nothing but the record is left. */
  readonly runId: string | null;
  readonly state: TaskState;
  readonly priority: number;
  readonly tenant: string;
  readonly runTimeoutMs: number | null;
  /** The main one first; `null` until it has completed. */
  readonly outputs: readonly TaskOutput[] | null;
  readonly error: TaskError | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  readonly startedAt: Date | null;
  readonly finishedAt: Date | null;
  /** Its results go then, however long others are kept; `null` for as long as those. */
  readonly keepUntil: Date | null;
  /** When its client had the results, as far as it let us know. */
  readonly collectedAt: Date | null;
  /** When its results went from the object store. */
  readonly removedAt: Date | null;
}

/** One file that a task made. */
export interface TaskOutput {
  /** Of the workflow's outputs; an output may have made several files. */
  readonly name: string;
  /** Where the object store keeps it. */
  readonly key: string;
  /** The client's address, without its query, that it went to instead; none where it was stored. */
  readonly deliveredTo?: string;
  /** The task whose result it is a copy of; none where it was made for this one. */
  readonly takenFrom?: string;
  /** Where it keeps a small picture of it; none where there is none. */
  readonly thumbnailKey?: string | null;
  /** Bytes. */
  readonly size: number;
  readonly sha256: string;
  readonly contentType: string;
  /** What the main input was; `null` where the workflow has none. */
  readonly input: MediaInfo | null;
  /** `null` where the result's own header does not tell. */
  readonly output: MediaInfo | null;
  /** Whether what ComfyUI wrote into it, the whole graph, may be in it still; left out where not. */
  readonly keepsMetadata?: boolean;
  /** Of a text, its beginning; none for anything else. */
  readonly text?: string;
}

export interface TaskError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly stage: StageName | null;
  readonly attempt: number;
}
