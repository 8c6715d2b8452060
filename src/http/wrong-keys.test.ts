import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { WrongKeys } from './wrong-keys.ts';

const here = '192.0.2.1';

describe('WrongKeys', () => {
  it('refuse what comes after too many, but for what was right from there', () => {
    const keys = new WrongKeys(2);
    keys.note(here, 'right', true);
    for (const wrong of ['a', 'b']) {
      assert.equal(keys.refusal(here, wrong), null);
      keys.note(here, wrong, false);
    }
    assert.equal(keys.refusal(here, 'c')?.code, 'limit_exceeded');
    assert.equal(keys.refusal(here, 'right'), null);
    assert.equal(keys.refusal('192.0.2.2', 'c'), null);
    keys.note('192.0.2.2', 'elsewhere', true);
    assert.ok(keys.refusal(here, 'elsewhere'));
  });

  it('are counted for the whole network of an IPv6 address', () => {
    const keys = new WrongKeys(1);
    keys.note('2001:db8::1', 'a', false);
    assert.ok(keys.refusal('2001:db8::2', 'b'));
    assert.equal(keys.refusal('2001:db8:0:1::2', 'b'), null);
  });

  it('are not counted without a quota', () => {
    const keys = new WrongKeys(null);
    for (let count = 0; count < 1_000; count += 1) keys.note(here, 'a', false);
    assert.equal(keys.refusal(here, 'a'), null);
  });
});
