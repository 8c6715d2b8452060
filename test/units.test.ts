/**
 * All tests of `src`, in one process: most take less time than a process of their own would. One of
 * them by hand: `npm test -- src/core/bind.test.ts`.
 */
import { globSync } from 'node:fs';
import { describe } from 'node:test';

const source = new URL('../src/', import.meta.url);
for (const path of globSync('**/*.test.ts', { cwd: source }).toSorted()) {
  // A suite of its own, so that its hooks are for its own tests.
  describe(path, async () => {
    await import(new URL(path, source).href);
  });
}
