import type { BackendState } from './backend.ts';
import { endsSoonerLater, type LaterRunner } from './ends-sooner.ts';

/** A backend at one instant, as a task sees it that is ready for a GPU. */
export interface Candidate {
  readonly state: BackendState;
  /** Whether it has what the workflow needs. */
  readonly canRun: boolean;
  /** Whether the task failed there, or its inputs are too large. */
  readonly isUnfit: boolean;
  /** Whether no task is made ready for it, or may be in a moment. */
  readonly hasRoom: boolean;
  /** How long its GPU has been idle, milliseconds. */
  readonly idleMs: number;
  /** How long it has worked on what it has, milliseconds; `null` while it has nothing. */
  readonly runningMs: number | null;
  /** Whether the models of the workflow are loaded. */
  readonly isWarm: boolean;
  /** Whether they will be when all have run that have a seat there. */
  readonly willBeWarm: boolean;
  /** What it took for the workflow with its models loaded, milliseconds; `null`: it never ran there. */
  readonly expectedMs: number | null;
}

/** What decides, beside the backend itself, whether a task begins on it now. */
export interface Outlook {
  readonly others: readonly Candidate[];
  /** How many tasks wait for a GPU already. */
  readonly ahead: number;
  /** Whether the queue holds tasks beyond those that have a seat. */
  readonly isMoreToCome: boolean;
  /** To load other models takes at least this long, milliseconds. */
  readonly switchMs: number;
}

/** Who takes that much longer than ever is not counted on. */
const overdueFactor = 2;

/**
 * After how long an idle backend may take a task that was made ready for another, milliseconds: 0 is at
 * once, `null` not as things are. It waits for its own next task for as long as a switch takes.
 */
export function mayMoveInMs(there: Candidate, switchMs: number): number | null {
  if (there.state !== 'idle' || !there.canRun || there.isUnfit) return null;
  if (there.hasRoom || there.isWarm) return 0;
  return Math.max(0, switchMs - there.idleMs);
}

/**
 * When the queue is empty, the last tasks decide when everything is done: one that a slow backend
 * would take now, or one that has to load its models first, may end sooner where others run.
 */
export function isBetterLater(here: Candidate, outlook: Outlook): boolean {
  const { others, ahead, isMoreToCome, switchMs } = outlook;
  if (isMoreToCome) return false;
  const runners = others.flatMap((other) => laterRunner(other, switchMs) ?? []);
  if (runners.length === 0) return false;
  // Where it never ran it is no faster than elsewhere, and its models are not loaded.
  const elsewhereMs = Math.min(...runners.map(({ taskMs }) => taskMs));
  const hereMs = takesMs(here, here.isWarm, switchMs) ?? elsewhereMs + switchMs;
  return endsSoonerLater(hereMs, runners, ahead);
}

/** `null`: it runs nothing, is not for this task, or nothing is known of how long it would take. */
function laterRunner(other: Candidate, switchMs: number): LaterRunner | null {
  const { runningMs: ranMs } = other;
  if (other.state !== 'busy' || ranMs === null || !other.canRun || other.isUnfit) return null;
  const taskMs = takesMs(other, other.willBeWarm, switchMs);
  return taskMs === null ? null : { taskMs, freeInMs: freeInMs(ranMs, taskMs) };
}

/** How long it takes for the task, milliseconds; `null`: not known. */
function takesMs({ expectedMs }: Candidate, isLoaded: boolean, switchMs: number): number | null {
  return expectedMs === null || isLoaded ? expectedMs : expectedMs + switchMs;
}

function freeInMs(ranMs: number, taskMs: number): number {
  return ranMs > taskMs * overdueFactor ? Number.POSITIVE_INFINITY : Math.max(0, taskMs - ranMs);
}
