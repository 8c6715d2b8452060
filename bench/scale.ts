/**
 * What one Postgres carries (docs/scale.md): behind a million ended tasks, beside a transaction that is held open, and
 * with a thousand servers. Exits with 1 when a bar is missed.
 *
 *   npx node bench/scale.ts [ended] [snapshot] [servers] [gateways]
 */
import { ended } from './scenarios/ended.ts';
import { gateways, servers } from './scenarios/servers.ts';
import { snapshot } from './scenarios/snapshot.ts';
import { judge } from './support/figures.ts';

const isGood = await judge({ ended, snapshot, servers, gateways }, process.argv.slice(2));
process.exit(isGood ? 0 : 1);
