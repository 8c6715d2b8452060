import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { endsSoonerLater } from './ends-sooner.ts';

const fast = (freeInMs: number) => ({ freeInMs, taskMs: 1_000 });

describe('endsSoonerLater', () => {
  const table = [
    { says: 'no other backend', hereMs: 3_000, runners: [], ahead: 0, expected: false },
    {
      says: 'a fast one, soon free',
      hereMs: 3_000,
      runners: [fast(500)],
      ahead: 0,
      expected: true,
    },
    { says: 'with one before us', hereMs: 3_000, runners: [fast(500)], ahead: 1, expected: true },
    { says: 'with two before us', hereMs: 3_000, runners: [fast(500)], ahead: 2, expected: false },
    {
      says: 'two before us, two fast ones',
      hereMs: 3_000,
      runners: [fast(500), fast(900)],
      ahead: 2,
      expected: true,
    },
    { says: 'no faster than here', hereMs: 1_000, runners: [fast(0)], ahead: 0, expected: false },
    {
      says: 'one that never ends',
      hereMs: 3_000,
      runners: [fast(Number.POSITIVE_INFINITY)],
      ahead: 0,
      expected: false,
    },
  ];
  for (const { says, hereMs, runners, ahead, expected } of table) {
    it(`${says}: ${expected ? 'waits' : 'begins'}`, () => {
      assert.equal(endsSoonerLater(hereMs, runners, ahead), expected);
    });
  }
});
