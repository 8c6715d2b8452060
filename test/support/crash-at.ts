/**
 * `node --import` this file to have the process killed at a milestone: `CRASH_AT=prompt-posted` at
 * the first one of that name, `CRASH_AT=prompt-posted:3` at the third.
 */
import { subscribe } from 'node:diagnostics_channel';

const [milestone, nth = '1'] = (process.env.CRASH_AT ?? '').split(':');
let reached = 0;

subscribe('tmlsr:milestone', (name) => {
  if (name !== milestone) return;
  reached += 1;
  if (reached === Number(nth)) process.kill(process.pid, 'SIGKILL');
});
