import type { Dialect } from '../dialect.ts';
import { taskManager } from './task-manager/index.ts';
import { tmlsr } from './tmlsr/index.ts';
import { uformer } from './uformer/index.ts';
import { upscale } from './upscale/index.ts';

/** Has the root, and what several want there. */
export const mainDialect: Dialect = tmlsr;

/** Every API that the gateway speaks. Where two want the same path at the root, the first has it. */
export const dialects: readonly Dialect[] = [tmlsr, upscale, taskManager, uformer];
