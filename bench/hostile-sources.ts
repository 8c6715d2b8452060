/**
 * What hostile sources (`test/support/hostile-sources.ts`) do to the event loop of whoever takes them:
 * fetched, sniffed, probed and checked as by an attempt, in this process, from a server in another. Exits
 * with 1 when any held it for more than 100 ms. Each is told as the best of three tries, because whatever
 * else runs on the machine holds it, too. The deadlines are short ones; with the gateway's own, an attack
 * only lasts longer.
 *
 *   npx node bench/hostile-sources.ts
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { GatewayError } from '../src/core/errors.ts';
import { lockFile } from '../src/db/file-lock.ts';
import { Spool } from '../src/media/spool.ts';
import { hostileSources, shortDeadlines } from '../test/support/hostile-sources.ts';
import { openReader, tryOut } from '../test/support/source-reader.ts';
import { type Figure, judge } from './support/figures.ts';

const endsWithinMs = 60_000;
const tries = 3;

async function measure(): Promise<Figure[]> {
  await using cleanup = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'tmlsr-bench-'));
  cleanup.defer(() => rm(folder, { recursive: true, force: true }));
  const spool = cleanup.use(await Spool.open(folder, lockFile, Number.MAX_SAFE_INTEGER));
  const server = fork(fileURLToPath(new URL('./support/hostile-server.ts', import.meta.url)));
  cleanup.defer(() => void server.disconnect());
  const [allow] = await once(server, 'message');
  const reader = cleanup.use(openReader({ allow, deadlines: shortDeadlines }));
  const figures: Figure[] = [];
  for (const [index, { name, kind, codes }] of (await hostileSources()).entries()) {
    server.send(index);
    const [url] = await once(server, 'message');
    const lagsMs: number[] = [];
    for (let i = 0; i < tries; i += 1) {
      await delay(50);
      const lag = monitorEventLoopDelay({ resolution: 5 });
      lag.enable();
      const signal = AbortSignal.timeout(endsWithinMs);
      const outcome = await tryOut(reader, spool, { url, kind }, signal);
      lag.disable();
      const code = outcome instanceof GatewayError ? outcome.code : null;
      if (!codes.includes(code)) throw new Error(`${name} ended with ${code}`);
      lagsMs.push(lag.max / 1e6);
    }
    figures.push({ what: name, is: Math.min(...lagsMs), unit: 'ms', atMost: 100 });
  }
  return figures;
}

const title = 'how long the event loop was held at most';
process.exitCode = (await judge({ hostile: { title, measure } }, [])) ? 0 : 1;
