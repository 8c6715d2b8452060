import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fold, wordsThatFit } from './fold.ts';

describe('a folded text', () => {
  const rows = [
    ['breaks between words', 'one two three', 8, 'one two\n  three'],
    ['is left alone where it fits', 'one two three', 13, 'one two three'],
    ['keeps the spaces of a table', 'URL     here', 20, 'URL     here'],
    ['keeps a word that is longer than a line', 'URL     http://x/0123456789', 12, undefined],
    ['keeps its own indent', '  one two', 7, '  one\n    two'],
    ['is empty for nothing', '', 8, ''],
  ] as const;
  for (const [name, text, columns, expected = text] of rows) {
    it(name, () => assert.equal(fold(text, columns, '  '), expected));
  }
});

describe('the words that fit', () => {
  const rows = [
    ['are all, where there is room', 'Download complete', 17, 'Download complete'],
    ['end with a whole word', 'Download complete, 0.04MB', 20, 'Download complete…'],
    ['end with a whole word just before the end', 'Download complete', 9, 'Download…'],
    ['are none, where the first is too long', 'Download complete', 5, ''],
    ['are none without room', 'Download complete', -3, ''],
  ] as const;
  for (const [name, text, columns, expected] of rows) {
    it(name, () => assert.equal(wordsThatFit(text, columns), expected));
  }
});
