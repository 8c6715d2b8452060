import { relative } from 'node:path';
import type { TestEvent } from 'node:test/reporters';

const shown = 10;

/** Tells which files took longest, for whoever has to keep `npm test` short. */
export async function* slowestFiles(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const files: { path: string; ms: number }[] = [];
  for await (const event of events) {
    // The whole run has a summary, too, which names no file.
    if (event.type !== 'test:summary' || event.data.file === undefined) continue;
    files.push({ path: relative('.', event.data.file), ms: event.data.duration_ms });
  }
  files.sort((a, b) => b.ms - a.ms);
  yield `The slowest of ${files.length} test files:\n`;
  for (const { path, ms } of files.slice(0, shown)) {
    yield `${(ms / 1_000).toFixed(1).padStart(7)} s  ${path}\n`;
  }
}
