/**
 * How well a pool of emulated ComfyUI servers is used, and what a backlog and its end cost. Emulators, gateway and
 * Postgres are processes of their own. Exits with 1 when a bar is missed.
 *
 *   npx node bench/pool.ts [busy] [unequal] [switches] [backlog] [expiry]
 */
import { backlog } from './scenarios/backlog.ts';
import { busy } from './scenarios/busy.ts';
import { expiry } from './scenarios/expiry.ts';
import { switches } from './scenarios/switches.ts';
import { unequal } from './scenarios/unequal.ts';
import { judge } from './support/figures.ts';

const isGood = await judge({ busy, unequal, switches, backlog, expiry }, process.argv.slice(2));
process.exit(isGood ? 0 : 1);
