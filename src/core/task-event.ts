import type { ErrorCode } from './errors.ts';

/** What may happen to a task; `tasks/moves.ts` says when. */
export const eventKinds = [
  'submitted',
  'begun',
  'handed_over',
  'adopted',
  'joined',
  'separated',
  'retried',
  'handed_back',
  'requeued',
  'completed',
  'failed',
  'rejected',
  'expired',
  'canceled',
] as const;
export type EventKind = (typeof eventKinds)[number];

/** What is told of an event beside its kind: a few words, never progress. */
export interface EventBody {
  /** The number of the attempt. */
  readonly attempt?: number;
  /** Without credentials. */
  readonly backend?: string;
  readonly code?: ErrorCode;
  readonly message?: string;
  /** How long the task waits before its next attempt, milliseconds. */
  readonly afterMs?: number;
  /** Whether the results were made for the task, or taken from another run. */
  readonly results?: 'made' | 'taken';
}

export interface TaskEvent {
  readonly taskId: string;
  /** 1, 2, … within the task. */
  readonly number: number;
  readonly kind: EventKind;
  readonly at: Date;
  /** The gateway that made the move; `null` for a move from before there were events. */
  readonly gateway: string | null;
  readonly body: EventBody;
}

/** Whether it is the last event of its task. */
export function isLast({ kind }: Pick<TaskEvent, 'kind'>): boolean {
  return ends.has(kind);
}

const ends: ReadonlySet<EventKind> = new Set<EventKind>([
  'completed',
  'failed',
  'rejected',
  'expired',
  'canceled',
]);
