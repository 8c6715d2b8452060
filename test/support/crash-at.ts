/**
 * `node --import` this file to have something happen to the process at a milestone: `CRASH_AT=prompt-posted` kills
 * it at the first one of that name, `CRASH_AT=prompt-posted:3` at the third. `DOZE_AT` has it stand still there
 * until somebody sends SIGCONT, after a line in its log that says so.
 */
import { subscribe } from 'node:diagnostics_channel';
import { writeSync } from 'node:fs';
import { dozing } from './dozing.ts';

function at(moment: string | undefined, act: () => void): void {
  const [milestone, nth = '1'] = (moment ?? '').split(':');
  let reached = 0;
  subscribe('tmlsr:milestone', (name) => {
    if (name !== milestone) return;
    reached += 1;
    if (reached === Number(nth)) act();
  });
}

at(process.env.CRASH_AT, () => process.kill(process.pid, 'SIGKILL'));
at(process.env.DOZE_AT, () => {
  writeSync(process.stdout.fd, `${JSON.stringify({ msg: dozing })}\n`);
  process.kill(process.pid, 'SIGSTOP');
});
