import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { Crc64 } from '../../../src/storage/crc64.ts';
import { combineCrc64 } from './crc64-combine.ts';

test('is the checksum of the whole', () => {
  const crc = (bytes: Uint8Array) => new Crc64().update(bytes).digest();
  for (const [length, cut] of [
    [1_000, 0],
    [1_000, 1_000],
    [70_000, 12_345],
    [9, 8],
  ] as const) {
    const bytes = randomBytes(length);
    const [first, second] = [bytes.subarray(0, cut), bytes.subarray(cut)];
    assert.equal(combineCrc64(crc(first), crc(second), second.length), crc(bytes));
  }
});
