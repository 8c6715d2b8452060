import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pairs } from './plan.ts';
import { play } from './scenario.ts';

// `npm run faults` has longer ones, and other seeds.
test('two gateways keep every promise while everything around them breaks', async () => {
  const steps: string[] = [];
  const { broken, acknowledged, completed } = await play({
    ...{ engine: 'postgres', ownsDatabase: false, gateways: 2, backends: 2, pairs },
    kinds: ['cut', 'cut-next', 'cut-next', 'slow', 'kill', 'crash', 'corrupt'],
    ...{ seed: 13, troubles: 10, everyMs: 300 },
    ...{ seconds: 0.1, clients: 2, pauseMs: 100, patienceMs: 60_000 },
    onStep: ({ trouble }) => steps.push(trouble.kind),
  });
  assert.deepEqual(broken, []);
  assert.ok(new Set(steps).size >= 5, `there was no more than ${steps.join(', ')}`);
  assert.ok(acknowledged > 10 && completed > 10, `${acknowledged}, ${completed}`);
});
