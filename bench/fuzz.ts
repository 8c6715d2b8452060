/**
 * Gives the parts of the gateway that take something from outside whatever may come, one after the other, and looks
 * whether each holds what it promises (`test/fuzz`). Exits with 1 after the first fault of any, or where memory has
 * grown by more than a tenth since each has had its first cases.
 *
 *   npm run fuzz                                    a million cases, of a seed that is drawn and told
 *   npm run fuzz -- --cases 50000 --seed 7          as many of them, and the same ones again
 *   npm run fuzz -- --target own-hosts --seed 7     all for one target
 *   npm run fuzz -- --target own-hosts --seed 7 --path 123:0:4    the case that a fault tells of
 */
import { randomInt } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { targets } from '../test/fuzz/targets/index.ts';
import { collectGarbage } from '../test/support/live-memory.ts';

const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: String(randomInt(2 ** 31)) },
    target: { type: 'string' },
    path: { type: 'string' },
  },
});

const mostGrowth = 1.1;
/** What parts keep for ever, such as compiled code, is there after so many cases. */
const warmUp = 0.1;

async function main(): Promise<boolean> {
  const seed = Number(values.seed);
  const chosen = targets.filter(({ name }) => name === (values.target ?? name));
  if (chosen.length === 0)
    throw new Error(`The targets are ${targets.map(({ name }) => name).join(', ')}`);
  const weights = chosen.reduce((sum, { weight }) => sum + weight, 0);
  console.log(`seed ${seed}`);

  const run = async (part: number, isTold: boolean): Promise<number> => {
    let faults = 0;
    for (const { name, weight, run } of chosen) {
      const count = Math.max(1, Math.ceil((Number(values.cases) * part * weight) / weights));
      const started = performance.now();
      const fault = await run({ seed, count, path: values.path });
      const seconds = ((performance.now() - started) / 1_000).toFixed(1);
      const line = `${name.padEnd(20)} ${String(count).padStart(8)} cases ${seconds.padStart(7)} s`;
      if (isTold) console.log(line);
      if (fault === null) continue;
      faults += 1;
      console.log(`\n${name}: ${fault}\n`);
    }
    return faults;
  };

  if (values.path !== undefined) return (await run(1, true)) === 0;
  if ((await run(warmUp, false)) > 0) return false;
  const beforeBytes = await heldBytes();
  const faults = await run(1, true);
  const afterBytes = await heldBytes();
  console.log(`memory ${megabytes(beforeBytes)} before, ${megabytes(afterBytes)} after`);
  return faults === 0 && afterBytes <= mostGrowth * beforeBytes;
}

/** On the heap, and in Buffers beside it. */
async function heldBytes(): Promise<number> {
  collectGarbage();
  // What is told of values that are gone is kept until the next turn.
  await setImmediate();
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1024 ** 2).toFixed(1)} MB`;
}

process.exitCode = (await main()) ? 0 : 1;
