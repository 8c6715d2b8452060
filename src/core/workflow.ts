import { GatewayError } from './errors.ts';
import type { Graph, Slot } from './graph.ts';
import type { JsonSchema } from './json-schema.ts';
import type { MediaKind } from './media.ts';
import type { WorkflowLimits } from './media-limits.ts';
import type { ResultKind } from './result-format.ts';

/** A stored graph with the places where a task's values go. */
export interface Workflow {
  /** The file's name without `.json`. */
  readonly name: string;
  /** sha256, hex, of all that decides what runs: which version of the workflow a task ran. */
  readonly hash: string;
  readonly graph: Graph;
  /** What it works on, or makes where it works on nothing. */
  readonly kind: ResultKind;
  readonly title: string | null;
  readonly description: string | null;
  /** Names of models under which old clients ask for it. */
  readonly aliases: readonly string[];
  /** How many times the source's size its result has; `null` where that is not known. */
  readonly scale: number | null;
  /** The files that a task brings, the main one first. */
  readonly inputs: readonly WorkflowInput[];
  /** The results that count, the main one first; at least one. */
  readonly outputs: readonly WorkflowOutput[];
  readonly parameters: readonly Parameter[];
  /** Takes the length of the result's shorter side, where the graph has such an input. */
  readonly resolution: Slot | null;
  readonly timeouts: Timeouts;
  /** Whether its tasks wait where no backend can run them; left out: as the settings say. */
  readonly mayWait?: boolean;
  /** Of its sources; a version that was kept before there were any has none. */
  readonly limits?: WorkflowLimits;
  /** What its backend gets of an animation; left out: the first frame. */
  readonly frames?: 'all';
}

/** A node that reads a file. */
export interface WorkflowInput {
  /** As clients call it; no parameter has the same name. */
  readonly name: string;
  readonly kind: MediaKind;
  readonly slot: Slot;
  /** Without a file of the task's, one that is not required reads the file that the graph names. */
  readonly isRequired: boolean;
  readonly description: string | null;
}

/** A node that writes a result: one file or several, or a text. */
export interface WorkflowOutput {
  readonly name: string;
  readonly kind: ResultKind;
  readonly node: string;
  /** Its input that takes the beginning of the file's name; `null` where it chooses by itself. */
  readonly prefixField: string | null;
  /** Where the pictures arrive that it writes, linked to a node; `null` where that is not known. */
  readonly pictures: Slot | null;
}

/** Those without which a task fails. A text beside others may be missing: they were there before it was a result. */
export function neededOutputs(outputs: readonly WorkflowOutput[]): readonly WorkflowOutput[] {
  const needed = outputs.filter(({ kind }) => kind !== 'text');
  return needed.length > 0 ? needed : outputs;
}

/** A value of the graph that a task may choose. */
export interface Parameter {
  readonly name: string;
  /** All of them get the same value. */
  readonly slots: readonly Slot[];
  /** What its operator says of it, over what the node says; `null` for nothing. */
  readonly schema: JsonSchema | null;
  readonly description: string | null;
  /** What the graph has, or its operator's choice. */
  readonly default: unknown;
  /** A number from which a model draws its noise: it may be asked for as `random`. */
  readonly isSeed: boolean;
}

/** How long a task may wait for its first attempt, and a prompt may run. `null`: for ever. */
export interface Timeouts {
  readonly queueMs?: number | null;
  readonly runMs?: number | null;
}

export function invalid(message: string): GatewayError {
  return new GatewayError('workflow_invalid', message);
}
