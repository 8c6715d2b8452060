import { quickened, realTempo, type Tempo } from '../../src/core/tempo.ts';

/** Real time, and both engines throughout: `npm run test:real`, before a release. */
export const isReal = process.env.TEST_REAL === 'true';

const quick = quickened(realTempo, isReal ? 1 : 4);

/** The waits of gateways in tests. On a machine that many files share, databases and sources answer late. */
export const testTempo: Tempo = {
  ...quick,
  database: {
    ...quick.database,
    connectDeadlineMs: 60_000,
    statementDeadlineMs: 50_000,
    queryDeadlineMs: 60_000,
  },
  waitingRoom: { ...quick.waitingRoom, arrivalDeadlineMs: 15_000 },
};
