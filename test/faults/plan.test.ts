import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Cast, describeStep, pairs, planOf, type TroubleKind } from './plan.ts';
import { seeded } from './random.ts';

const kinds: readonly [TroubleKind, ...TroubleKind[]] = [
  ...(['cut', 'cut-next', 'half-open', 'slow', 'kill', 'crash', 'sleep', 'doze'] as const),
  ...(['kill-backend', 'restart-database', 'corrupt'] as const),
];
const cast: Cast = { pairs, gateways: 2, backends: 2, kinds };

test('a plan follows from its seed', () => {
  assert.deepEqual(planOf(7, 50, 100, cast), planOf(7, 50, 100, cast));
  assert.notDeepEqual(planOf(7, 50, 100, cast), planOf(8, 50, 100, cast));
});

test('a plan has every kind of trouble for every pair, in order of time', () => {
  const plan = planOf(1, 2_000, 100, cast);
  const seen = new Set(plan.map(({ trouble }) => trouble.kind));
  assert.deepEqual([...seen].sort(), [...kinds].sort());
  const troubled = new Set(plan.flatMap(({ trouble }) => ('pair' in trouble ? trouble.pair : [])));
  assert.deepEqual([...troubled].sort(), [...pairs].sort());
  for (const [i, { atMs }] of plan.entries()) assert.ok(atMs > (plan[i - 1]?.atMs ?? 0));
  const averageMs = (plan.at(-1)?.atMs ?? 0) / plan.length;
  assert.ok(averageMs > 95 && averageMs < 105, `${averageMs}`);
});

test('a step is told in a line', () => {
  const trouble = { kind: 'cut', pair: 'store', how: 'rst' } as const;
  assert.equal(describeStep({ atMs: 1_250, trouble }), '   1.3 s  cut              store rst');
});

test('random numbers lie between 0 and 1, evenly', () => {
  const random = seeded(3);
  const numbers = Array.from({ length: 10_000 }, random);
  assert.ok(numbers.every((number) => number >= 0 && number < 1));
  const mean = numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
  assert.ok(Math.abs(mean - 0.5) < 0.02);
});
