import assert from 'node:assert/strict';
import { test } from 'node:test';
import { segmentEnd } from './matroska.ts';

const hex = (digits: string): Uint8Array =>
  Buffer.from(digits.replaceAll(' ', '').padEnd(80, '0'), 'hex');

test('tells where a segment ends', () => {
  assert.equal(segmentEnd(hex('1a45dfa3 82 0000 18538067 85')), 7 + 5 + 5);
  assert.equal(segmentEnd(hex('1a45dfa3 4002 0000 18538067 1000000a')), 8 + 8 + 10);
  assert.equal(segmentEnd(hex('1a45dfa3 80 18538067 0100000100000000')), 5 + 12 + 2 ** 32);
});

test('does not tell where one ends that was streamed, or is none', () => {
  for (const head of [
    '1a45dfa3 80 18538067 ff',
    '1a45dfa3 80 18538067 01ffffffffffffff',
    '1a45dfa3 ff 18538067 85',
    '1a45dfa3 80 1f43b675 85',
    '1a45dfa3 00 18538067 85',
    '00000018 66747970',
    '',
  ]) {
    assert.equal(segmentEnd(hex(head)), null, head);
  }
  assert.equal(segmentEnd(new Uint8Array(0)), null);
  assert.equal(segmentEnd(new Uint8Array([0x1a, 0x45, 0xdf, 0xa3, 0x80])), null);
});
