import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nextUnread } from './next-unread.ts';

const run = (id: string, tenant: string, rank: number) => ({ id, tenant, rank });

for (const [words, runs, served, next] of [
  ['nothing of nothing', [], [], null],
  ['the first of one tenant', [run('b', 'x', 2), run('a', 'x', 1)], [['x', 5]], 'a'],
  [
    'a tenant without a turn before all others',
    [run('a', 'x', 1), run('b', 'y', 9)],
    [['x', 0]],
    'b',
  ],
  ['the first of two without a turn', [run('a', 'x', 2), run('b', 'y', 1)], [], 'b'],
  [
    'whose turn was longest ago',
    [run('a', 'x', 1), run('b', 'y', 2)],
    [
      ['x', 2],
      ['y', 1],
    ],
    'b',
  ],
] as const) {
  test(`is ${words}`, () => {
    assert.equal(nextUnread([...runs], new Map(served))?.id ?? null, next);
  });
}
