import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { digestOf, idIn, makeKey } from './key-text.ts';

describe('a key', () => {
  it('has 256 random bits, an id that can be read, and a digest', () => {
    const { id, key, digest } = makeKey();
    assert.match(key, /^tmlsr_[0-9a-f]{16}_[0-9a-f]{72}$/);
    assert.equal(idIn(key), id);
    assert.equal(digest, createHash('sha256').update(key).digest('hex'));
    assert.notEqual(makeKey().id, id);
    const other = makeKey(id);
    assert.equal(other.id, id);
    assert.notEqual(other.digest, digest);
    assert.equal(digestOf(other.key), other.digest);
  });

  it('tells itself from other texts, and from one that was mistyped', () => {
    const { key } = makeKey();
    const other = (letter: string | undefined) => (letter === '0' ? '1' : '0');
    const mistyped = [10, 40, key.length - 1].map(
      (at) => key.slice(0, at) + other(key[at]) + key.slice(at + 1),
    );
    const texts = ['', 'alice-secret-0123456789', key.toUpperCase(), ` ${key}`, `${key}0`];
    for (const text of [...mistyped, ...texts]) assert.equal(idIn(text), null, text);
  });
});
