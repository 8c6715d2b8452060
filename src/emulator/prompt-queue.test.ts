import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { PromptQueue } from './prompt-queue.ts';
import type { HistoryEntry, QueueItem } from './wire.ts';

const never = new AbortController().signal;
const item = (number: number, id = String(number)): QueueItem => [number, id, {}, {}, []];
const ended = (each: QueueItem): HistoryEntry => ({
  prompt: each,
  outputs: {},
  status: { status_str: 'success', completed: true, messages: [] },
  meta: {},
});

test('lists pending prompts as they lie in the heap', () => {
  const queue = new PromptQueue(() => {});
  // The numbers of the recording: plain, plain, front, front, -1000, 0.5, 1e9, plain, "3".
  for (const number of [1, 2, -3, -4, -1000, 0.5, 1e9, 6, 3]) queue.put(item(number));
  const listed = queue.pending.map(([number]) => number);
  assert.deepEqual(listed, [-1000, -4, 0.5, 2, -3, 1, 1e9, 6, 3]);
});

test('runs prompts by number, then by id', async () => {
  const arbitrary = fc.uniqueArray(fc.tuple(fc.integer({ min: -5, max: 5 }), fc.uuid()), {
    selector: ([, id]) => id,
    maxLength: 40,
  });
  await fc.assert(
    fc.asyncProperty(arbitrary, async (pairs) => {
      const queue = new PromptQueue(() => {});
      for (const [number, id] of pairs) queue.put(item(number, id));
      const ran: (readonly [number, string])[] = [];
      while (queue.pending.length > 0) {
        const [number, id] = await queue.take(never);
        ran.push([number, id]);
      }
      const byNumberAndId = pairs.toSorted(([a, x], [b, y]) => a - b || (x < y ? -1 : 1));
      assert.deepEqual(ran, byNumberAndId);
    }),
  );
});

test('keeps the order when one in the middle is deleted', async () => {
  const queue = new PromptQueue(() => {});
  for (const number of [5, 3, 8, 1, 9, 2]) queue.put(item(number));
  queue.delete('3');
  queue.delete('unknown');
  const ran: number[] = [];
  while (queue.pending.length > 0) ran.push((await queue.take(never))[0]);
  assert.deepEqual(ran, [1, 2, 5, 8, 9]);
});

test('never runs anything again after two prompts with one number and one id', async () => {
  const queue = new PromptQueue(() => {});
  queue.put(item(0, 'first'));
  queue.put(item(1, 'twin'));
  queue.put(item(1, 'twin'));
  queue.put(item(2, 'later'));
  const signal = AbortSignal.timeout(50);
  const taken: string[] = [];
  await assert.rejects(async () => {
    for (;;) taken.push((await queue.take(signal))[1]);
  });
  assert.ok(!taken.includes('later'));
});

test('refuses to compare two graphs', () => {
  const queue = new PromptQueue(() => {});
  queue.put(item(1, 'twin'));
  assert.throws(() => queue.put(item(1, 'twin')), /not supported between instances/);
});

test('hands a prompt to whoever waits, but not when it is wedged', async () => {
  const queue = new PromptQueue(() => {});
  const waiting = queue.take(never);
  queue.put(item(0));
  assert.equal((await waiting)[0], 0);
  queue.wedge();
  queue.put(item(1));
  await assert.rejects(queue.take(AbortSignal.timeout(30)));
  assert.equal(queue.pending.length, 1);
});

test('shows the newest history, or a window from the oldest', () => {
  const queue = new PromptQueue(() => {});
  for (const number of [0, 1, 2, 3]) queue.done(item(number), ended(item(number)));
  const ids = (maxItems: number | null, offset: number) =>
    Object.keys(queue.listHistory(maxItems, offset));
  assert.deepEqual(ids(2, -1), ['2', '3']);
  assert.deepEqual(ids(2, 0), ['0', '1']);
  assert.deepEqual(ids(null, 3), ['3']);
  assert.deepEqual(ids(9, -1), ['0', '1', '2', '3']);
});
