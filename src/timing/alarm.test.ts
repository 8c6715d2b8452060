import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Alarm } from './alarm.ts';

const hourMs = 3_600_000;
const never = new AbortController().signal;

describe('Alarm', () => {
  it('wakes who waits', async () => {
    const alarm = new Alarm();
    const woken = alarm.wait(hourMs, never);
    alarm.ring();
    assert.equal(await woken, true);
  });

  it('keeps a ring for the next wait, and many as one', async () => {
    const alarm = new Alarm();
    alarm.ring();
    alarm.ring();
    assert.equal(await alarm.wait(hourMs, never), true);
    assert.equal(await alarm.wait(1, never), false);
  });

  it('wakes by itself when time is up', async () => {
    assert.equal(await new Alarm().wait(1, never), false);
  });

  it('wakes when the signal aborts, or has aborted', async () => {
    const stop = new AbortController();
    const alarm = new Alarm();
    const woken = alarm.wait(hourMs, stop.signal);
    stop.abort();
    assert.equal(await woken, false);
    assert.equal(await alarm.wait(hourMs, stop.signal), false);
  });

  it('leaves no listener behind', async () => {
    const stop = new AbortController();
    const alarm = new Alarm();
    const warned: Error[] = [];
    const warn = (warning: Error) => warned.push(warning);
    process.on('warning', warn);
    for (let i = 0; i < 20; i += 1) {
      alarm.ring();
      await alarm.wait(hourMs, stop.signal);
    }
    await new Promise(setImmediate);
    process.off('warning', warn);
    assert.deepEqual(warned, []);
  });
});
