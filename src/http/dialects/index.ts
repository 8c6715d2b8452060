import type { Dialect } from '../dialect.ts';
import { taskManager } from './task-manager/index.ts';
import { tmlsr } from './tmlsr/index.ts';
import { uformer } from './uformer/index.ts';
import { upscale } from './upscale/index.ts';

export type Dialects = readonly [main: Dialect, ...others: Dialect[]];

/** Every API that the gateway speaks. Where two want the same path at the root, the first has it. */
export const dialects: Dialects = [tmlsr, upscale, taskManager, uformer];

interface TaskName {
  readonly dialect: string;
  readonly id: string;
}

/** A task's id as its client knows it; the id itself where the dialect cannot have given it. */
export function clientIdOf({ dialect, id }: TaskName): string {
  try {
    return dialects.find(({ name }) => name === dialect)?.clientId?.(id) ?? id;
  } catch {
    return id;
  }
}

/** What operators may set for them. */
export const dialectSettings = dialects.flatMap(({ settings }) => settings ?? []);
