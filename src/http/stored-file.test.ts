import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseRange } from './stored-file.ts';

describe('parseRange', () => {
  const cases = [
    [undefined, null],
    ['bytes=0-0', { start: 0, end: 0 }],
    ['bytes=10-', { start: 10, end: 99 }],
    ['bytes=-30', { start: 70, end: 99 }],
    ['bytes=-300', { start: 0, end: 99 }],
    ['bytes=90-500', { start: 90, end: 99 }],
    ['bytes=100-', 'unsatisfiable'],
    ['bytes=-0', 'unsatisfiable'],
    ['bytes=5-2', null],
    ['bytes=0-1,5-6', null],
    ['bytes=-', null],
    ['pages=1-2', null],
  ] as const;
  for (const [header, expected] of cases) {
    it(`reads ${header} of 100 bytes`, () => assert.deepEqual(parseRange(header, 100), expected));
  }
});
