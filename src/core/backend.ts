/**
 * `offline`: it does not answer, so nothing new is given to it (a prompt that runs there is followed
 * all the same). `idle`: it may take a task. `busy`: its GPU has one of our tasks. `draining`: it ends
 * what it has and gets nothing more. `quarantined`: it misbehaved; it gets nothing until a trial.
 */
export const backendStates = ['offline', 'idle', 'busy', 'draining', 'quarantined'] as const;
export type BackendState = (typeof backendStates)[number];

/** Whether it takes tasks, now or when it has done what it does. */
export function isInService(state: BackendState | undefined): boolean {
  return state === 'idle' || state === 'busy';
}

/** What an operator wants of a backend. */
export const wantedStates = ['active', 'draining', 'removed'] as const;
export type WantedState = (typeof wantedStates)[number];

/** What the gateway that drives a backend tells the others, and people, about it. */
export interface BackendReport {
  readonly state: BackendState;
  /** Why it is in this state. */
  readonly reason: string;
  /** Since when, ISO 8601. */
  readonly since: string;
  /** When it was last heard of, ISO 8601. */
  readonly lastActiveAt: string | null;
  readonly version: string | null;
  readonly devices: readonly Device[];
  /** The task whose prompt is on it, and the one that is made ready in front of it. */
  readonly task: string | null;
  readonly nextTask: string | null;
  /** How many tasks have results there that are still to be fetched; nothing in older reports. */
  readonly unfetched?: number;
  /** The workflow of its last prompt, whose models it still holds. */
  readonly warm: string | null;
  /** Share of the last five minutes in which it had a prompt of ours, 0 to 1. */
  readonly busyShare: number;
  /** By workflow, why it cannot run it; a workflow that is not named runs here. */
  readonly cannotRun: Readonly<Record<string, readonly string[]>>;
  /** Whether it is known yet what it can run. */
  readonly isKnown: boolean;
  /** The largest input that it takes, bytes; `null`, and nothing in older reports: no limit is known. */
  readonly maxInputBytes?: number | null;
  /** Whether inputs are put into a folder that the server shares with its gateway. */
  readonly sharesInputs?: boolean;
}

export interface Device {
  readonly name: string;
  /** Bytes. */
  readonly memoryTotal: number;
  readonly memoryFree: number;
}

/** A backend as people and other programs see it. */
export interface BackendView {
  /** Twelve hex digits that follow from its address. */
  readonly id: string;
  /** Without credentials. */
  readonly address: string;
  readonly wanted: WantedState;
  /** Its `input` folder as gateways see it, where they share one. For operators alone. */
  readonly inputDir: string | null;
  /** Whether it stands in the settings, and cannot be removed at run time. */
  readonly isFixed: boolean;
  /** The gateway that drives it; `null` when none does. */
  readonly gateway: string | null;
  /** `null` before any gateway reached it. */
  readonly report: BackendReport | null;
}

/** Where a workflow can run. A backend that nobody has reached yet, or that may come, counts only in `total`. */
export interface Fitness {
  readonly able: number;
  /** Those of them that take tasks at present. */
  readonly inService: number;
  /** By address, why not. */
  readonly unable: ReadonlyMap<string, readonly string[]>;
  readonly total: number;
}

/** Workflows whose models backends had in memory, by what became of them. */
export interface UnloadedWorkflows {
  /** No longer there: on one backend, or on several. */
  readonly unloaded: readonly string[];
  /** Still there, on one at least: it has something to do, or another gateway drives it. */
  readonly held: readonly string[];
}
