/**
 * All tests, or the files that are named: `npm test -- test/crash.test.ts`. With `--real`, gateways wait
 * as long as in production, and both database engines are used throughout: `npm run test:real`.
 */

import { once } from 'node:events';
import { globSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { parseArgs } from 'node:util';
import { slowestFiles } from './support/slowest-files.ts';
import { prepareTestDatabases } from './support/test-database.ts';

/** Most files wait for something most of the time; more at once than this wait for the processors. */
const filesAtOnce = 4;

const { values: options, positionals } = parseArgs({
  options: { real: { type: 'boolean', default: false } },
  allowPositionals: true,
});
// Read by `support/tempo.ts`, here and in the processes of the files.
if (options.real) process.env.TEST_REAL = 'true';

// A hundred processes read the same modules.
process.env.NODE_COMPILE_CACHE ??= join(tmpdir(), 'tmlsr-compile-cache');

await using _databases = await prepareTestDatabases();

const events = run({
  files: positionals.length > 0 ? positionals : longestFirst(globSync('test/**/*.test.ts')),
  concurrency: filesAtOnce,
});
events.on('test:fail', () => {
  process.exitCode = 1;
});
events.compose(slowestFiles).pipe(process.stdout);
events.compose(spec).pipe(process.stdout);
await once(events, 'close');

/** So that the end of a run is made of short files, which share the processors to the last. */
function longestFirst(files: readonly string[]): string[] {
  const longest = ['units', 'oss-gateway', 'coalescing', 'crash', 'store-faults', 'cli'];
  const isLong = (file: string) => longest.some((name) => file.endsWith(`/${name}.test.ts`));
  return [...files.filter(isLong), ...files.filter((file) => !isLong(file))];
}
