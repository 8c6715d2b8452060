import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { it } from 'node:test';
import { targets } from './targets/index.ts';

/** A few cases of each target, always the same and others each time: `npm run fuzz` tries a million. */
const casesPerWeight = 12;
const seeds = [1, randomInt(2 ** 31)];
/** They start encoders or a database. */
const slow = ['sniff', 'metadata', 'clip-boxes', 'pictures', 'clips', 'sounds', 'gateway'];

for (const { name, weight, run } of targets.filter((each) => !slow.includes(each.name))) {
  it(`${name} holds what it promises, whatever comes`, async () => {
    for (const seed of seeds) {
      const fault = await run({ seed, count: weight * casesPerWeight });
      assert.equal(fault, null, `npm run fuzz -- --target ${name} --seed ${seed}\n${fault}`);
    }
  });
}
