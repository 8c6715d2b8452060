import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { shareOut } from './share-out.ts';

const held = (counts: Record<string, number>) => new Map(Object.entries(counts));

describe('shareOut', () => {
  it('gives everything to the only gateway', () => {
    assert.deepEqual(shareOut('a', held({ a: 0 }), 5), { take: 5, giveUp: 0 });
  });

  it('lets a gateway go of what a new one should have', () => {
    const present = held({ a: 4, b: 0 });
    assert.deepEqual(shareOut('a', present, 4), { take: 0, giveUp: 2 });
    assert.deepEqual(shareOut('b', present, 4), { take: 2, giveUp: 0 });
  });

  it('moves nothing when it is as even as can be', () => {
    const present = held({ a: 1, b: 2, c: 2 });
    for (const me of present.keys()) {
      assert.deepEqual(shareOut(me, present, 5), { take: 0, giveUp: 0 });
    }
  });

  it('ends with shares that differ by one at most, whatever they were', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(6), { minLength: 1, maxLength: 6 }),
        fc.nat(10),
        (counts, unowned) => {
          const present = new Map(counts.map((count, i) => [`g${i}`, count]));
          const total = counts.reduce((sum, count) => sum + count, unowned);
          const after = counts.map((count, i) => {
            const { take, giveUp } = shareOut(`g${i}`, present, total);
            return count + take - giveUp;
          });
          assert.equal(
            after.reduce((sum, count) => sum + count, 0),
            total,
          );
          assert.ok(Math.max(...after) - Math.min(...after) <= 1);
        },
      ),
    );
  });
});
