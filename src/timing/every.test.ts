import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Alarm } from './alarm.ts';
import { every } from './every.ts';

const hourMs = 3_600_000;

describe('every', () => {
  it('does a round at once, and others a period apart, until the signal aborts', async () => {
    const stop = new AbortController();
    let rounds = 0;
    await every(1, stop.signal, async () => {
      rounds += 1;
      if (rounds === 3) stop.abort();
    });
    assert.equal(rounds, 3);
  });

  it('breaks its pause off when the signal aborts', async () => {
    const stop = new AbortController();
    const over = every(hourMs, stop.signal, () => {});
    setImmediate(() => stop.abort());
    await over;
  });

  it('does nothing after the signal has aborted', async () => {
    const aborted = AbortSignal.abort();
    await every(1, aborted, () => assert.fail());
    await every(hourMs, aborted, () => assert.fail(), { isLater: true });
  });

  it('lets a round end before the next one', async () => {
    const stop = new AbortController();
    let underWay = 0;
    let rounds = 0;
    await every(0, stop.signal, async () => {
      underWay += 1;
      assert.equal(underWay, 1);
      await new Promise(setImmediate);
      underWay -= 1;
      rounds += 1;
      if (rounds === 3) stop.abort();
    });
  });

  it('tells what a round throws and goes on', async () => {
    const stop = new AbortController();
    const heard: unknown[] = [];
    const onError = (error: unknown) => {
      heard.push(error);
      if (heard.length === 2) stop.abort();
    };
    await every(1, stop.signal, () => Promise.reject(new Error('away')), { onError });
    assert.deepEqual(heard, [new Error('away'), new Error('away')]);
  });

  it('ends with what a round throws where nobody hears of it', async () => {
    const { signal } = new AbortController();
    const failing = every(1, signal, () => Promise.reject(new Error('away')));
    await assert.rejects(failing, new Error('away'));
  });

  it('does the next round when the alarm rings, also during a round', async () => {
    const stop = new AbortController();
    const alarm = new Alarm();
    let rounds = 0;
    const round = () => {
      rounds += 1;
      if (rounds === 1) setImmediate(alarm.ring);
      if (rounds === 2) alarm.ring();
      if (rounds === 3) stop.abort();
    };
    await every(hourMs, stop.signal, round, { alarm });
    assert.equal(rounds, 3);
  });

  it('hands the signal to the round', async () => {
    const stop = new AbortController();
    await every(1, stop.signal, (signal) => {
      assert.equal(signal, stop.signal);
      stop.abort();
    });
  });
});
