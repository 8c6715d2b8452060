import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isStorable, storableJson, storableText } from './storable-text.ts';

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

describe('what is made storable', () => {
  const cases: [text: string, kept: string][] = [
    ['', ''],
    ['plain \t\n text', 'plain \t\n text'],
    ['超分 \u{1f600}', '超分 \u{1f600}'],
    // These are letters, not what they would mean in JSON.
    ['C:\\users\\u0000\\ud83d', 'C:\\users\\u0000\\ud83d'],
    ['a\0\0b', 'a\ufffd\ufffdb'],
    ['\ud83d', '\ufffd'],
    ['\ude00\ud83d', '\ufffd\ufffd'],
    ['\\\0 \\\\\ud83d', '\\\ufffd \\\\\ufffd'],
  ];
  for (const [text, kept] of cases) {
    it(`keeps ${JSON.stringify(text)} as ${JSON.stringify(kept)}, alone and in JSON`, () => {
      assert.equal(storableText(text), kept);
      const json = storableJson({ [text]: [text, 1, null, { text }] });
      assert.deepEqual(JSON.parse(json), { [kept]: [kept, 1, null, { text: kept }] });
      assert.equal(isStorable(JSON.parse(json)), true);
    });
  }
});
