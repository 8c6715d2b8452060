import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseUuid } from './uuid.ts';

describe('parseUuid', () => {
  it('takes a UUID with its dashes, in any case', () => {
    for (const id of [
      '550e8400-e29b-41d4-a716-446655440000',
      'f692edeb-41cb-4a3e-aebd-2db0044c0778',
    ]) {
      assert.equal(parseUuid(id), id);
      assert.equal(parseUuid(id.toUpperCase()), id);
    }
  });

  it('takes nothing else', () => {
    const id = 'f692edeb-41cb-4a3e-aebd-2db0044c0778';
    const odd = ['', id.replaceAll('-', ''), `${id}0`, ` ${id}`, '\0', '7', id.replace('f', 'g')];
    for (const text of odd) assert.equal(parseUuid(text), null, text);
  });
});
