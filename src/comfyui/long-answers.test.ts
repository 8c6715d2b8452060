import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { LongAnswers } from './long-answers.ts';

const hourMs = 3_600_000;
const { signal } = new AbortController();

describe('LongAnswers', () => {
  it('lets one after the other have a turn', async () => {
    const answers = new LongAnswers(hourMs);
    const order: number[] = [];
    const first = await answers.take(signal);
    const others = [1, 2].map(async (each) => {
      using _turn = await answers.take(signal);
      order.push(each);
      await nextTurn();
      order.push(each);
    });
    await nextTurn();
    assert.deepEqual(order, []);
    first[Symbol.dispose]();
    first[Symbol.dispose]();
    await Promise.all(others);
    assert.deepEqual(order, [1, 1, 2, 2]);
    using _last = await answers.take(signal);
  });

  it('passes over who waits no longer', async () => {
    const answers = new LongAnswers(hourMs);
    const first = await answers.take(signal);
    const leaving = new AbortController();
    const left = answers.take(leaving.signal);
    const next = answers.take(signal);
    leaving.abort(new Error('left'));
    await assert.rejects(left, new Error('left'));
    first[Symbol.dispose]();
    using _next = await next;
  });

  it('asks who takes long to give way, only when another waits', async () => {
    const answers = new LongAnswers(1);
    using slow = await answers.take(signal);
    await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal(slow.giveWay.aborted, false);
    const next = answers.take(signal);
    await once(slow.giveWay, 'abort');
    slow[Symbol.dispose]();
    using _next = await next;
  });
});
