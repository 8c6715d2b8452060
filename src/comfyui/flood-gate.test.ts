import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FloodGate } from './flood-gate.ts';

function gate() {
  const did: string[] = [];
  const { promise: reopened, resolve } = Promise.withResolvers<void>();
  const source = {
    pause: () => void did.push('pause'),
    resume: () => {
      did.push('resume');
      resolve();
    },
  };
  return { gate: new FloodGate(source, 5), did, reopened };
}

describe('FloodGate', () => {
  it('lets through what a server says while nodes tick', () => {
    const { gate: open, did } = gate();
    for (let i = 0; i < 499; i += 1) open.passed(100);
    open.close();
    assert.deepEqual(did, []);
  });

  for (const [what, count, bytes] of [
    ['many messages', 600, 100],
    ['a few large ones', 2, 8 * 1024 * 1024],
  ] as const) {
    it(`holds ${what} back, once, until the time is over`, async () => {
      const { gate: full, did, reopened } = gate();
      for (let i = 0; i < count; i += 1) full.passed(bytes);
      assert.deepEqual(did, ['pause']);
      await reopened;
      full.passed(100);
      full.close();
      assert.deepEqual(did, ['pause', 'resume']);
    });
  }
});
