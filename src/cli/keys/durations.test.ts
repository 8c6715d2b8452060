import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseDuration } from './durations.ts';

describe('parseDuration', () => {
  const table = [
    ['0', 0],
    ['45s', 45_000],
    ['30m', 1_800_000],
    ['12h', 43_200_000],
    ['90d', 7_776_000_000],
    ['', null],
    ['90', null],
    ['d', null],
    ['-1d', null],
    ['1.5h', null],
    ['1 h', null],
    ['1y', null],
    ['9999999d', null],
  ] as const;
  for (const [text, ms] of table) {
    it(`reads ${JSON.stringify(text)} as ${ms}`, () => assert.equal(parseDuration(text), ms));
  }
});
