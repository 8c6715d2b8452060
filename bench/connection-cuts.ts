/**
 * `npx node bench/connection-cuts.ts [cuts]`: cuts the gateway's connections to a Postgres, in order and
 * with resets, 1,000 times unless told otherwise. It ends with 1 when a query comes back with rows that are
 * not its own or a transaction by halves, and as any program when something is thrown outside of a query.
 */

import { realTempo } from '../src/core/tempo.ts';
import { connectDatabase } from '../src/db/connect.ts';
import { cutConnections, halves } from '../test/support/connection-cuts.ts';
import { TcpProxy } from '../test/support/tcp-proxy.ts';
import { createTestDatabase } from '../test/support/test-database.ts';

const count = Number(process.argv[2] ?? 1_000);
await using scratch = await createTestDatabase('postgres');
if (scratch.options.engine !== 'postgres') throw new Error('This is for Postgres');
await using proxy = await TcpProxy.before(scratch.options.url);
const waits = { ...realTempo.database, reconnectPauseMs: 5 };
await using database = await connectDatabase(
  { engine: 'postgres', url: proxy.through(scratch.options.url) },
  waits,
);
await database.listen(
  'tmlsr_cuts',
  () => {},
  () => {},
);
const startedAt = performance.now();
const report = await cutConnections(database, proxy, count);
const broken = await halves(database);
const seconds = Math.round((performance.now() - startedAt) / 1_000);
console.log(
  `${report.cuts} cuts in ${seconds} s: ${report.lost} of ${report.queries} queries were broken off, ` +
    `${broken} transactions by halves`,
);
if (broken > 0) process.exitCode = 1;
