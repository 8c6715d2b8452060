/** What a node class is to the executor. */
import type { Engine } from '../engine.ts';
import { annotatedPath, type Folders } from '../folders.ts';
import { Frames } from '../frames.ts';
import type { Gpu } from '../gpu.ts';
import type { Loaders } from '../loaders/loaders.ts';
import type { Catalog } from '../object-info.ts';
import type { ExtraData, Prompt } from '../wire.ts';

export type Inputs = Readonly<Record<string, unknown>>;

export interface NodeContext {
  /** Of the node in the prompt. */
  readonly id: string;
  readonly inputs: Inputs;
  readonly prompt: Prompt;
  readonly extraData: ExtraData;
  readonly folders: Folders;
  readonly catalog: Catalog;
  readonly engine: Engine;
  readonly loaders: Loaders;
  readonly gpu: Gpu;
  readonly signal: AbortSignal;
  /** What nodes keep from prompt to prompt, by their ids. */
  readonly memory: Map<string, unknown>;
  /** Queues the running prompt again, under another id and in front of all others. */
  requeue(): void;
  /** Reports progress, and throws where the prompt was interrupted. */
  tick(value: number, max: number): Promise<void>;
  /** Throws where the prompt was interrupted, and reports nothing. */
  checkpoint(): Promise<void>;
  /** Takes `ms`, or no time at all where the GPU holds the model already. */
  loadModel(model: string, ms: number): Promise<void>;
}

export interface NodeResult {
  readonly outputs: readonly unknown[];
  /** What `executed` and `/history` show. */
  readonly ui?: Record<string, unknown>;
}

export interface NodeClass {
  run(context: NodeContext): Promise<NodeResult>;
  /** Stands for the content of the file that the node reads. */
  fingerprint?(inputs: Inputs, folders: Folders): Promise<string>;
  /** By input name, what is wrong with a file that the node would read. */
  validate?(inputs: Inputs, folders: Folders): Promise<Record<string, string>>;
  /** Whether an out-of-memory error would arise here. */
  readonly usesGpu?: boolean;
}

export function framesOf(inputs: Inputs, name: string): Frames {
  const value = inputs[name];
  if (value instanceof Frames) return value;
  throw new TypeError(`${name} is not an IMAGE`);
}

export function numberOf(inputs: Inputs, name: string, fallback: number): number {
  const value = inputs[name];
  return typeof value === 'number' ? value : fallback;
}

export function textOf(inputs: Inputs, name: string, fallback = ''): string {
  const value = inputs[name];
  return typeof value === 'string' ? value : fallback;
}

export function pathOf(inputs: Inputs, name: string, folders: Folders): string {
  return annotatedPath(folders, textOf(inputs, name));
}
