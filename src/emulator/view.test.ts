import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRange } from './view.ts';

test('takes one range, open at either end', () => {
  assert.deepEqual(parseRange('bytes=0-99', 1000), { start: 0, length: 100 });
  assert.deepEqual(parseRange('bytes=900-', 1000), { start: 900, length: 100 });
  assert.deepEqual(parseRange('bytes=-10', 1000), { start: 990, length: 10 });
  assert.deepEqual(parseRange('bytes=990-5000', 1000), { start: 990, length: 10 });
  assert.deepEqual(parseRange('bytes=-5000', 1000), { start: 0, length: 1000 });
});

test('cannot satisfy several ranges, or one that holds nothing', () => {
  for (const header of ['bytes=0-1,4-5', 'bytes=1000-', 'bytes=5-4', 'bytes=-', 'bytes=-0', 'x']) {
    assert.equal(parseRange(header, 1000), 'unsatisfiable', header);
  }
  assert.equal(parseRange('bytes=0-', 0), 'unsatisfiable');
});
