import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { withoutChoices } from './text.ts';

describe('withoutChoices', () => {
  it('takes the first of several texts, also inside one', () => {
    assert.equal(
      withoutChoices('a {red|green} house, {{small|big} and old|new}'),
      'a red house, small and old',
    );
    assert.equal(withoutChoices('{|b}c'), 'c');
  });

  it('leaves what is no choice', () => {
    assert.equal(withoutChoices('a | b } c \\n'), 'a | b } c \\n');
    assert.equal(withoutChoices('\\{a\\|b\\}'), '{a|b}');
  });

  it('takes comments out', () => {
    assert.equal(withoutChoices('a // not this\nb /* nor\nthis */c'), 'a \nb c');
  });

  it('ends on braces without end', () => {
    assert.equal(withoutChoices('{'.repeat(100_000)), '');
  });
});
