import { quickened, realTempo } from '../../src/core/tempo.ts';

/** Real time, and both engines throughout: `npm run test:real`, before a release. */
export const isReal = process.env.TEST_REAL === 'true';

/** The waits of gateways in tests. */
export const testTempo = quickened(realTempo, isReal ? 1 : 4);
