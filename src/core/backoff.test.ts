import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { backoffMs, doubledMs, withJitter } from './backoff.ts';

const pauses = { firstPauseMs: 100, longestPauseMs: 1_000 };

describe('doubledMs', () => {
  it('doubles the first pause with each retry, up to the longest', () => {
    const found = [0, 1, 2, 3, 4, 5_000].map((retries) => doubledMs(retries, pauses));
    assert.deepEqual(found, [100, 200, 400, 800, 1_000, 1_000]);
  });
});

describe('withJitter', () => {
  it('leaves between half and all of it', () => {
    assert.deepEqual(
      [0, 0.5, 1].map((random) => withJitter(100, random)),
      [50, 75, 100],
    );
  });
});

describe('backoffMs', () => {
  it('is the doubled pause with jitter', () => {
    assert.equal(backoffMs(0, pauses, 0), 50);
    assert.equal(backoffMs(2, pauses, 0.5), 300);
    assert.equal(backoffMs(9, pauses, 0), 500);
  });
});
