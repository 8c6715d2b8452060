import type { ErrorCode } from './errors.ts';
import type { MediaInfo, MediaKind } from './media.ts';
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

/** Where the input comes from. */
export interface Source {
  readonly url: string;
}

/** What a dialect makes of a request. */
export interface NewTask {
  readonly dialect: string;
  readonly kind: MediaKind;
  readonly source: Source;
  readonly workflow: string;
  readonly size: SizeRequest;
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
}

export interface Task extends Omit<NewTask, 'queueTimeoutMs'> {
  /** A UUID; dialects show it in their own way. */
  readonly id: string;
  readonly state: TaskState;
  readonly priority: number;
  readonly tenant: string;
  readonly runTimeoutMs: number | null;
  /** While it waits: it fails unless an attempt has begun by then. */
  readonly queueDeadline: Date | null;
  /** How many attempts were begun; the number of the present one, which fences its writes. */
  readonly attempt: number;
  /** How often it was tried again after a failure; an attempt that a shutdown broke off is none. */
  readonly retries: number;
  /** Set while the task waits before another try. */
  readonly runAfter: Date | null;
  readonly output: TaskOutput | null;
  readonly error: TaskError | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  readonly startedAt: Date | null;
  readonly finishedAt: Date | null;
}

export interface TaskOutput {
  /** Where the object store keeps it. */
  readonly key: string;
  /** Bytes. */
  readonly size: number;
  readonly sha256: string;
  readonly contentType: string;
  readonly input: MediaInfo;
  /** `null` where the result's own header does not tell. */
  readonly output: MediaInfo | null;
}

export interface TaskError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly stage: StageName | null;
  readonly attempt: number;
}
