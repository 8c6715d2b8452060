import assert from 'node:assert/strict';
import { it } from 'node:test';
import { cutBytes, cutText } from './cut-text.ts';

it('cuts a text between characters', () => {
  const cases: [text: string, most: number, cut: string][] = [
    ['', 3, ''],
    ['abc', 3, 'abc'],
    ['abcd', 3, 'abc'],
    ['ab😀d', 3, 'ab😀'],
    ['a😀😀😀', 3, 'a😀😀'],
    ['😀😀😀😀', 3, '😀😀😀'],
    ['😀', 1, '😀'],
    ['é'.repeat(9), 2, 'éé'],
    ['abc', 0, ''],
  ];
  for (const [text, most, cut] of cases) assert.equal(cutText(text, most), cut, text);
});

it('never halves a character, wherever the cut falls', () => {
  const text = `a${'😀b'.repeat(50)}`;
  for (let most = 0; most <= text.length; most += 1) {
    const cut = cutText(text, most);
    assert.ok(cut.isWellFormed(), String(most));
    assert.ok(text.startsWith(cut));
    assert.equal([...cut].length, Math.min(most, [...text].length));
  }
});

it('cuts a text by bytes, and no character', () => {
  assert.equal(cutBytes('abc', 3), 'abc');
  assert.equal(cutBytes('abc', 2), 'ab');
  assert.equal(cutBytes('猫猫', 5), '猫');
  assert.equal(cutBytes('a😀', 4), 'a');
  assert.equal(cutBytes('\ufeffa', 3), '\ufeff');
  assert.equal(cutBytes('猫', 0), '');
});
