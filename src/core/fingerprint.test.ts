import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deliveryAsUsual } from './delivery.ts';
import { fingerprintOf } from './fingerprint.ts';
import { sizeAsTheWorkflowGives } from './size-plan.ts';

const task = {
  tenant: 'a',
  workflowHash: 'f00',
  arguments: { steps: 4, seed: 7 },
  size: sizeAsTheWorkflowGives,
  delivery: deliveryAsUsual,
};
const sources = new Map([
  ['image', 'aa'],
  ['mask', 'bb'],
]);

test('is the same for the same task, in whatever order things are named', () => {
  const twin = { ...task, arguments: { seed: 7, steps: 4 } };
  const reversed = new Map([...sources].reverse());
  assert.match(fingerprintOf(task, sources) ?? '', /^[0-9a-f]{64}$/);
  assert.equal(fingerprintOf(twin, reversed), fingerprintOf(task, sources));
});

test('is another for whatever makes another result, and for another tenant', () => {
  const { delivery } = task;
  const others = [
    { ...task, tenant: 'b' },
    { ...task, workflowHash: 'f01' },
    { ...task, arguments: { ...task.arguments, seed: 8 } },
    { ...task, arguments: { ...task.arguments, seed: '7' } },
    { ...task, size: { ...task.size, outscale: 2 } },
    { ...task, delivery: { ...delivery, format: 'webp' as const } },
    { ...task, delivery: { ...delivery, format: 'webp' as const, quality: 50 } },
    { ...task, delivery: { ...delivery, keepsMetadata: true } },
  ];
  const otherSources = [
    new Map([['image', 'aa']]),
    new Map([
      ['image', 'bb'],
      ['mask', 'aa'],
    ]),
  ];
  const all = [
    fingerprintOf(task, sources),
    ...others.map((other) => fingerprintOf(other, sources)),
    ...otherSources.map((other) => fingerprintOf(task, other)),
  ];
  assert.equal(new Set(all).size, all.length);
});

test('does not depend on how long results are kept', () => {
  const kept = { ...task, delivery: { ...task.delivery, keepMs: 1_000 } };
  assert.equal(fingerprintOf(kept, sources), fingerprintOf(task, sources));
});

test('there is none where the result is not kept, or the version is not known', () => {
  const delivery = { ...task.delivery, putUrl: 'https://example.com/put' };
  assert.equal(fingerprintOf({ ...task, delivery }, sources), null);
  assert.equal(fingerprintOf({ ...task, workflowHash: '' }, sources), null);
});
