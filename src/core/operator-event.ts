import type { Scope } from './caller.ts';
import type { ResultKind } from './result-format.ts';

/** What operators do that stays on record; `audit/acts.ts` tells of each. */
export const operatorEventKinds = [
  'backend_added',
  'backend_drained',
  'backend_resumed',
  'backend_removed',
  'workflow_written',
  'workflow_deleted',
  'models_unloaded',
  'results_discarded',
  'paused',
  'resumed',
  'key_created',
  'key_rotated',
  'key_revoked',
] as const;
export type OperatorEventKind = (typeof operatorEventKinds)[number];

/** What is told of an act beside its kind and its subject: a few words, never credentials. */
export interface OperatorEventBody {
  /** What was wanted of the backend, or the hash of the workflow; `null` where there was none. */
  readonly before?: string | null;
  /** The hash of the workflow. */
  readonly after?: string;
  /** Whose models went from which backend. */
  readonly unloaded?: readonly { readonly workflow: string; readonly backend: string }[];
  /** Of which tasks results were discarded, and of how many. */
  readonly dialect?: string;
  readonly types?: readonly ResultKind[];
  readonly tasks?: number;
  /** Of a pause. */
  readonly reason?: string | null;
  readonly until?: string | null;
  /** What a key is called, whose tasks come with it, and what it may do. */
  readonly name?: string;
  readonly tenant?: string;
  readonly scopes?: readonly Scope[];
}

/** What an operator has done. */
export interface OperatorAct {
  /** The name of the key that it came with; empty where no keys are asked for. */
  readonly actor: string;
  readonly kind: OperatorEventKind;
  readonly subject: string;
  readonly body: OperatorEventBody;
}

/** An act as it is on record. */
export interface OperatorEvent extends OperatorAct {
  readonly seq: number;
  readonly at: Date;
  /** The gateway that was asked for it. */
  readonly gateway: string;
}
