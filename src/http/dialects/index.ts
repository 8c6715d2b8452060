import type { Dialect } from '../dialect.ts';
import { taskManager } from './task-manager/index.ts';
import { tmlsr } from './tmlsr/index.ts';
import { uformer } from './uformer/index.ts';
import { upscale } from './upscale/index.ts';

export type Dialects = readonly [main: Dialect, ...others: Dialect[]];

/** Every API that the gateway speaks. Where two want the same path at the root, the first has it. */
export const dialects: Dialects = [tmlsr, upscale, taskManager, uformer];

/** What operators may set for them. */
export const dialectSettings = dialects.flatMap(({ settings }) => settings ?? []);
