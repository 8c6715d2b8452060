import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isStorable } from './storable-text.ts';

describe('isStorable', () => {
  for (const text of [
    '',
    'a',
    '超分',
    '\u{1f600}',
    '\\u0000',
    'C:\\users\\u0000',
    '\\\\ud800',
    '\t\n',
  ]) {
    it(`takes ${JSON.stringify(text)}`, () => {
      assert.equal(isStorable(text), true);
      assert.equal(isStorable({ [text]: [text] }), true);
    });
  }

  it('refuses what is nested too deeply to be written', () => {
    const nested = (depth: number) => JSON.parse('['.repeat(depth) + ']'.repeat(depth));
    assert.equal(isStorable({ a: nested(400) }), true);
    assert.equal(isStorable({ a: nested(100_000) }), false);
  });

  for (const text of ['\0', 'a\0b', '\ud800', 'x\udc00', '\\\0', '\ud83d']) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      assert.equal(isStorable(text), false);
      assert.equal(isStorable({ a: [{ [text]: 1 }] }), false);
    });
  }
});
