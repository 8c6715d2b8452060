import { run } from './run.ts';
import { serve } from './serve.ts';

/** The service: `npm start`. */
await run((logTo) => serve({ logTo }));
