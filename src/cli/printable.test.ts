import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { printable } from './printable.ts';

describe('printable', () => {
  it('shows what would steer a terminal instead of sending it there', () => {
    assert.equal(printable('a\u001b[2Jb\nc\u0007\u009b1m'), 'a\\u{1b}[2Jb\\u{a}c\\u{7}\\u{9b}1m');
    assert.equal(printable('\u202egnp.exe'), '\\u{202e}gnp.exe');
  });

  it('leaves alone what people write', () => {
    const text = '加载图像 "Ünïcode" 👩‍🔬 🅥🅗🅢 C:\\x';
    assert.equal(printable(text), text);
  });
});
