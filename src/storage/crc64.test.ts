import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { Crc64 } from './crc64.ts';

test('has the check value of CRC-64/XZ', () => {
  const crc = new Crc64().update(Buffer.from('123456789'));
  assert.equal(crc.digest(), BigInt('0x995dc9bbdf1939fa').toString());
});

test('is zero for nothing', () => {
  assert.equal(new Crc64().digest(), '0');
});

test('agrees with the definition, bit by bit, however the bytes are cut', () => {
  for (const length of [1, 7, 8, 9, 63, 1000]) {
    const bytes = randomBytes(length);
    const cut = Math.floor(Math.random() * length);
    const crc = new Crc64().update(bytes.subarray(0, cut)).update(bytes.subarray(cut));
    assert.equal(crc.digest(), byDefinition(bytes), `${length} bytes, cut at ${cut}`);
  }
});

function byDefinition(bytes: Buffer): string {
  const allOnes = 2n ** 64n - 1n;
  let crc = allOnes;
  for (const byte of bytes) {
    crc ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >> 1n) ^ (crc & 1n ? 0xc96c5795d7870f42n : 0n);
  }
  return (crc ^ allOnes).toString();
}
