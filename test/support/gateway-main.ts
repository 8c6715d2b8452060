import { run } from '../../src/run.ts';
import { serve } from '../../src/serve.ts';
import { testTempo } from './tempo.ts';

/** The service as `src/main.ts` starts it, at the tempo of tests. */
await run((logTo) => serve({ logTo, tempo: testTempo }));
