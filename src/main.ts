import { run } from './run.ts';
import { serve } from './serve.ts';

/** The service alone, for supervisors; `npm start` is `tmlsr serve`. */
await run((logTo) => serve({ logTo }));
