import type { RunState } from '../core/run.ts';
import type { EventKind } from '../core/task-event.ts';
import { sql } from '../db/drizzle.ts';
import type { runs, tasks } from '../db/schema.ts';
import type { Change } from '../db/statement.ts';
import type { StageChange } from './move-steps.ts';

export type RunChange = Change<typeof runs>;
export type TaskChange = Change<typeof tasks>;

/** What may happen to a run, and with it to all tasks that wait for it. */
export interface Move {
  /** States in which it finds the run; none for a run that is new. */
  readonly from: readonly RunState[];
  readonly to: RunState;
  /** Where it goes instead, as the run is that it comes to. */
  readonly orTo?: RunState;
  /** What is set of the run, and of its tasks, beside their state. */
  readonly run: RunChange;
  readonly task: TaskChange;
  readonly stages: StageChange;
  /** Whether it ends tasks or an attempt, so that what those had is counted. */
  readonly isTallied?: true;
  /** `null`: nothing that a client would see. */
  readonly event: EventKind | null;
}

const unowned: RunChange = { owner: null, leaseUntil: null };
const waitsAnew: RunChange = {
  ...unowned,
  runAfter: null,
  queueDeadline: sql`now() + runs.queue_timeout_ms * interval '1 ms'`,
};
/** The attempt does not count. */
const uncounted: RunChange = { attempt: sql`runs.attempt - 1` };
const ended: TaskChange = { finishedAt: sql`now()` };
const worked = ['processing'] as const;

/**
 * Every move of a run and its tasks, by what happened: from where to where, what is set, what becomes of the
 * stages, and the event that tells of it. ARCHITECTURE.md draws it; a test compares the two.
 */
export const moves = {
  /** Taken on: `submitTask`. */
  submitted: { from: [], to: 'pending', run: {}, task: {}, stages: 'keep', event: 'submitted' },
  /** Claimed for a backend. */
  begun: {
    from: ['pending'],
    to: 'processing',
    run: { attempt: sql`runs.attempt + 1` },
    task: { startedAt: sql`coalesce(tasks.started_at, now())` },
    stages: 'keep',
    event: 'begun',
  },
  /** The gateway stops, and leaves a prompt on its backend to whoever drives that next. */
  handed_over: {
    from: worked,
    to: 'processing',
    run: { leaseUntil: sql`now()` },
    task: {},
    stages: 'keep',
    event: 'handed_over',
  },
  /** Another gateway goes on with the prompt. */
  adopted: { from: worked, to: 'processing', run: {}, task: {}, stages: 'keep', event: 'adopted' },
  /** The task makes what an open run makes, and waits for that: `joinRun`. */
  joined: {
    from: worked,
    to: 'processing',
    orTo: 'pending',
    run: {},
    task: {},
    stages: 'keep',
    event: 'joined',
  },
  /** The task shares the run no longer, and has one of its own: `separateTasks`. */
  separated: {
    from: worked,
    to: 'pending',
    run: {},
    task: {},
    stages: 'reset',
    event: 'separated',
  },
  /** The attempt failed, and another one may not. */
  retried: {
    from: worked,
    to: 'pending',
    run: waitsAnew,
    task: {},
    stages: 'reset',
    isTallied: true,
    event: 'retried',
  },
  /** Given up before there was a prompt, as if it had never been begun. */
  handed_back: {
    from: worked,
    to: 'pending',
    run: { ...waitsAnew, ...uncounted },
    task: {},
    stages: 'reset',
    event: 'handed_back',
  },
  /** Its gateway died, and nothing is left to adopt. */
  requeued: {
    from: worked,
    to: 'pending',
    run: waitsAnew,
    task: {},
    stages: 'reset',
    isTallied: true,
    event: 'requeued',
  },
  /** The pause before its next attempt is over. */
  woken: {
    from: ['pending'],
    to: 'pending',
    run: { runAfter: null },
    task: {},
    stages: 'keep',
    event: null,
  },
  completed: {
    from: worked,
    to: 'completed',
    run: unowned,
    task: { ...ended, error: null },
    stages: 'keep',
    isTallied: true,
    event: 'completed',
  },
  failed: {
    from: worked,
    to: 'failed',
    run: { ...unowned, fingerprint: null },
    task: ended,
    stages: 'fail',
    isTallied: true,
    event: 'failed',
  },
  /** It failed by what the client or its source did, also where the source was fetched ahead. */
  rejected: {
    from: ['pending', 'processing'],
    to: 'failed',
    run: { ...unowned, fingerprint: null },
    task: ended,
    stages: 'fail',
    isTallied: true,
    event: 'rejected',
  },
  /** No backend began it in the time that it may wait. */
  expired: {
    from: ['pending'],
    to: 'failed',
    run: { runAfter: null, fingerprint: null },
    task: ended,
    stages: 'skip',
    isTallied: true,
    event: 'expired',
  },
  /** By a client. The run is left to other tasks that wait for it: `cancelTask`. */
  canceled: {
    from: ['pending', 'processing'],
    to: 'canceled',
    run: { ...unowned, runAfter: null },
    task: ended,
    stages: 'skip',
    isTallied: true,
    event: 'canceled',
  },
} as const satisfies Record<EventKind | 'woken', Move>;

export type MoveName = keyof typeof moves;
