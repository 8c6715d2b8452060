/**
 * All tests of `src`, in one process: most take less time than a process of their own would. One of
 * them by hand: `npx node --test src/core/bind.test.ts`.
 */
import { globSync } from 'node:fs';

const source = new URL('../src/', import.meta.url);
for (const path of globSync('**/*.test.ts', { cwd: source }))
  await import(new URL(path, source).href);
