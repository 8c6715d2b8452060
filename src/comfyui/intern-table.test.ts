import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { InternTable } from './intern-table.ts';

describe('InternTable', () => {
  it('makes a value once for descriptions that are alike', () => {
    const table = new InternTable<{ text: string }>();
    const first = table.intern({ a: [1] }, () => ({ text: 'first' }));
    const second = table.intern({ a: [1] }, () => assert.fail('It was made twice'));
    const other = table.intern({ a: [2] }, () => ({ text: 'other' }));
    assert.equal(second, first);
    assert.equal(other.text, 'other');
    assert.equal(table.size, 2);
  });

  it('has room for so much, and for more of the same', () => {
    const table = new InternTable<{ text: string }>(10);
    table.intern('12345678', () => ({ text: 'fits' }));
    assert.throws(() => table.intern('1', () => ({ text: 'more' })), RangeError);
    table.intern('12345678', () => assert.fail('It was made twice'));
  });
});
