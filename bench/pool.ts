/**
 * How well a pool of emulated ComfyUI servers is used, what a backlog and its end cost, and what an overload does.
 * Emulators, gateway and Postgres are processes of their own. Exits with 1 when a bar is missed.
 *
 *   npx node bench/pool.ts [busy] [unequal] [switches] [backlog] [expiry] [overload]
 */
import { backlog } from './scenarios/backlog.ts';
import { busy } from './scenarios/busy.ts';
import { expiry } from './scenarios/expiry.ts';
import { overload } from './scenarios/overload.ts';
import { switches } from './scenarios/switches.ts';
import { unequal } from './scenarios/unequal.ts';
import { judge } from './support/figures.ts';

const scenarios = { busy, unequal, switches, backlog, expiry, overload };
const isGood = await judge(scenarios, process.argv.slice(2));
process.exit(isGood ? 0 : 1);
