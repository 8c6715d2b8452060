import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Gpu } from './gpu.ts';

const never = new AbortController().signal;

async function stepsOf(gpu: Gpu, ms: number, steps: number): Promise<number[]> {
  const startedAt = performance.now();
  const ends: number[] = [];
  await gpu.compute(ms, steps, never, async () => {
    ends.push(performance.now() - startedAt);
  });
  return ends;
}

describe('a GPU', () => {
  it('takes its time in equal parts, none of them early', async () => {
    const ends = await stepsOf(new Gpu(1), 60, 4);
    assert.equal(ends.length, 4);
    for (const [index, end] of ends.entries()) assert.ok(end >= 15 * (index + 1), String(ends));
  });

  it('takes its time as often as it is slower', async () => {
    const [end = 0] = await stepsOf(new Gpu(3), 50, 1);
    assert.ok(end >= 150, String(end));
  });

  it('does not grow slower with steps closer together than timers can tell', async () => {
    const ends = await stepsOf(new Gpu(1), 20, 5_000);
    const last = ends.at(-1) ?? 0;
    // A timer for each of them would make it five seconds.
    assert.ok(last >= 20 && last < 2_500, String(last));
  });

  it('lets others have their turn between steps', async () => {
    const stop = new AbortController();
    const computing = new Gpu(1).compute(0, 1e9, stop.signal, async () => {});
    setTimeout(() => stop.abort(), 5);
    await assert.rejects(computing, { name: 'AbortError' });
  });

  it('holds one model, from the end of its load on', async () => {
    const gpu = new Gpu(1);
    await gpu.load('a', 0, never);
    assert.ok(gpu.holds('a'));
    const loading = gpu.load('b', 60, never);
    assert.ok(!gpu.holds('a') && !gpu.holds('b'));
    await loading;
    assert.ok(gpu.holds('b'));
    gpu.keepOnly(['a', 'b']);
    assert.ok(gpu.holds('b'));
    gpu.keepOnly(['a']);
    assert.ok(!gpu.holds('b'));
  });

  it('holds nothing after a load that was broken off', async () => {
    const gpu = new Gpu(1);
    const stop = new AbortController();
    const loading = gpu.load('a', 60_000, stop.signal);
    await delay(5);
    stop.abort();
    await assert.rejects(loading, { name: 'AbortError' });
    assert.ok(!gpu.holds('a'));
  });
});
