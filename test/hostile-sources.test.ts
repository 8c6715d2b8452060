import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { GatewayError } from '../src/core/errors.ts';
import { lockFile } from '../src/db/file-lock.ts';
import { Spool } from '../src/media/spool.ts';
import { whileWatchingTheLoop } from './support/event-loop.ts';
import { HostileServer, hostileSources, shortDeadlines } from './support/hostile-sources.ts';
import { openReader, tryOut } from './support/source-reader.ts';

const attacks = await hostileSources();
/** Far more than any of them takes; what the event loop may take is measured by a bench. */
const endsWithinMs = 120_000;
const gaspMs = 2_000;

describe('a hostile source', () => {
  const cleanup = new AsyncDisposableStack();
  let server: HostileServer;
  let spool: Spool;
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tmlsr-hostile-'));
    cleanup.defer(() => rm(folder, { recursive: true, force: true }));
    server = cleanup.use(await HostileServer.start());
    spool = cleanup.use(await Spool.open(folder, lockFile, Number.MAX_SAFE_INTEGER));
  });
  after(() => cleanup.disposeAsync());

  for (const attack of attacks) {
    it(`ends with its code: ${attack.name}`, async () => {
      await using reader = openReader({ allow: server.host, deadlines: shortDeadlines });
      const source = { url: server.show(attack), kind: attack.kind };
      const { result: outcome, heldMs } = await whileWatchingTheLoop(() =>
        tryOut(reader, spool, source, AbortSignal.timeout(endsWithinMs)),
      );
      const code = outcome instanceof GatewayError ? outcome.code : outcome;
      assert.ok(
        attack.codes.some((each) => each === code),
        `it ended with ${String(code)}`,
      );
      if (outcome instanceof GatewayError) {
        assert.doesNotMatch(outcome.message, /127\.0\.0\.1|\/tmp|node_modules/);
      }
      assert.ok(heldMs < gaspMs, `the event loop was held for ${heldMs} ms`);
      const left = await readdir(folder, { recursive: true, withFileTypes: true });
      const files = left.filter((entry) => entry.isFile() && !entry.name.endsWith('.lock'));
      assert.deepEqual(files, []);
    });
  }
});
