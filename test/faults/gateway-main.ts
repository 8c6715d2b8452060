import { realTempo } from '../../src/core/tempo.ts';
import { run } from '../../src/run.ts';
import { serve } from '../../src/serve.ts';
import { testTempo } from '../support/tempo.ts';

/**
 * As in tests, but a database that does not answer is given up in time: its connections are cut here. And a prompt is
 * there for as long as usual, as gateways start late on a busy machine.
 */
const { database, recovery } = realTempo;
const tempo = {
  ...testTempo,
  database: {
    ...testTempo.database,
    connectDeadlineMs: database.connectDeadlineMs,
    statementDeadlineMs: database.statementDeadlineMs,
    queryDeadlineMs: database.queryDeadlineMs,
  },
  recovery: { ...testTempo.recovery, abandonedAfterMs: recovery.abandonedAfterMs },
};

await run((logTo) => serve({ logTo, tempo }));
