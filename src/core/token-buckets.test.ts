import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TokenBuckets } from './token-buckets.ts';

describe('TokenBuckets', () => {
  const cases: [now: number, isTaken: boolean, left: number, fullInS: number, nextInS: number][] = [
    [0, true, 2, 20, 0],
    [0, true, 1, 40, 0],
    [0, true, 0, 60, 20],
    [0, false, 0, 60, 20],
    [19_000, false, 0, 41, 1],
    [20_000, true, 0, 60, 20],
    // Nobody took for so long that it is full, and no fuller.
    [500_000, true, 2, 20, 0],
  ];
  it('hold what may be had in a minute, and fill up evenly', () => {
    const buckets = new TokenBuckets(3);
    for (const [now, isTaken, left, fullInS, nextInS] of cases) {
      assert.deepEqual(buckets.take('a', now), { isTaken, left, fullInS, nextInS }, `${now}`);
    }
  });

  it('are of one name each, and a look takes nothing', () => {
    const buckets = new TokenBuckets(1);
    assert.ok(buckets.take('a', 0).isTaken);
    assert.equal(buckets.look('a', 0).nextInS, 60);
    assert.equal(buckets.look('b', 0).left, 1);
    assert.ok(buckets.take('b', 0).isTaken);
  });

  it('are forgotten where too many are known, the one that rested longest first', () => {
    const buckets = new TokenBuckets(2);
    for (const name of ['a', 'b', 'a']) buckets.take(name, 0);
    for (let count = 0; count < 9_999; count += 1) buckets.take(`more-${count}`, 0);
    assert.equal(buckets.look('a', 0).left, 0);
    assert.equal(buckets.look('b', 0).left, 2);
  });
});
