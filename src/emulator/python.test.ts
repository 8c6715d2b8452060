import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bool, float, int, repr, roundHalfToEven } from './python.ts';

test('converts as Python does', () => {
  assert.equal(int('32'), 32);
  assert.equal(int(32.9), 32);
  assert.equal(int(true), 1);
  assert.equal(float(' 1.5 '), 1.5);
  assert.equal(bool('false'), true);
  assert.equal(bool([]), false);
  assert.throws(() => int('abc'), { message: "invalid literal for int() with base 10: 'abc'" });
  assert.throws(() => int('1.5'));
  assert.throws(() => int(null), /not 'NoneType'/);
  assert.throws(() => float(''), { message: "could not convert string to float: ''" });
});

test('prints as Python does', () => {
  assert.equal(repr({ a: 1, b: [true, null, 'x'] }), "{'a': 1, 'b': [True, None, 'x']}");
  assert.equal(repr("it's"), '"it\'s"');
});

test('rounds as Python does', () => {
  assert.deepEqual(
    [0.5, 1.5, 2.5, -0.5, -1.5, 2.4, 2.6].map(roundHalfToEven),
    [0, 2, 2, -0, -2, 2, 3],
  );
});
