import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { expectedWaitMs } from './expected-wait.ts';

const durations = new Map([
  ['a', 1_000],
  ['b', 4_000],
]);

describe('expectedWaitMs', () => {
  it('shares the work out among the backends', () => {
    const waiting = [
      { workflow: 'a', count: 6 },
      { workflow: 'b', count: 1 },
    ];
    assert.equal(expectedWaitMs(waiting, durations, 2), 5_000);
  });

  it('is nothing where nobody waits', () => {
    assert.equal(expectedWaitMs([{ workflow: 'new', count: 0 }], durations, 2), 0);
  });

  it('is unknown without backends, and while a workflow has not been seen to run', () => {
    assert.equal(expectedWaitMs([{ workflow: 'a', count: 1 }], durations, 0), null);
    assert.equal(expectedWaitMs([{ workflow: 'new', count: 1 }], durations, 2), null);
  });
});
