import type { Backend } from '../comfyui/backend.ts';
import type { MediaInfo } from '../core/media.ts';
import { planSize, type SizePlan } from '../core/size-plan.ts';
import type { Workflow } from '../core/workflow.ts';
import type { SentFile } from '../media/probed.ts';
import type { Attempt } from './attempt-parts.ts';
import type { AcquiredSource } from './download/acquire-source.ts';

/** A run of which nothing is missing but a GPU. */
export type Ready = LeftBehind | Prepared;

/** A prompt that a dead gateway left on the backend. */
interface LeftBehind extends ReadyPrompt {
  readonly kind: 'left-behind';
}

export interface Prepared extends ReadyPrompt {
  readonly kind: 'prepared';
  readonly sources: Sources;
  /** Where the inputs are by now, and under which names. */
  readonly staged: StagedInputs;
}

interface ReadyPrompt {
  readonly promptId: string;
  /** What the main input is; `null` where the workflow has none. */
  readonly input: MediaInfo | null;
  /** How the main output gets its size. */
  readonly size: SizePlan;
}

/** By the input that they are for, the main one's first. */
export type Sources = ReadonlyMap<string, ReadySource>;

/** A source of which it is known what a server gets. */
export interface ReadySource extends AcquiredSource {
  readonly sent: SentFile;
}

export interface StagedInputs {
  readonly backend: Backend;
  /** By the input that they are for. */
  readonly files: Readonly<Record<string, string>>;
}

/** The prompt that the attempt was left with; `null` where it has to be made ready. */
export function leftBehind({ journal }: Attempt, workflow: Workflow): LeftBehind | null {
  const { attempt, run } = journal.claim;
  const { promptId, input } = attempt;
  if (promptId === null) return null;
  return { kind: 'left-behind', promptId, input, size: planSize(input, workflow, run.size) };
}
