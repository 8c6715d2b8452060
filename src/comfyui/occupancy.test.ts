import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Occupancy, type Occupant } from './occupancy.ts';

const upscale: Occupant = { taskId: 'a', workflow: 'upscale', tenant: 't' };
const denoise: Occupant = { taskId: 'b', workflow: 'denoise', tenant: 'u' };

/** An occupancy by a clock that the test sets, and the events that it emitted since they were last read. */
function create() {
  const clock = { ms: 0 };
  const occupancy = new Occupancy(() => clock.ms);
  const heard: string[] = [];
  for (const event of ['gpu', 'next', 'room'] as const) {
    occupancy.on(event, () => void heard.push(event));
  }
  return { occupancy, clock, events: () => heard.splice(0) };
}

describe('Occupancy', () => {
  it('is vacant at first, and nothing is in memory', () => {
    const { occupancy } = create();
    assert.ok(occupancy.isVacant);
    assert.deepEqual(
      [occupancy.next, occupancy.running, occupancy.runningMs, occupancy.warm, occupancy.holds],
      [null, null, null, null, null],
    );
  });

  it('has one seat in front of the GPU', () => {
    const { occupancy, events } = create();
    const seat = occupancy.takeNext(upscale);
    assert.ok(seat && !occupancy.isVacant);
    assert.equal(occupancy.next, upscale);
    assert.equal(occupancy.takeNext(denoise), null);
    assert.deepEqual(events(), ['next']);
    seat[Symbol.dispose]();
    assert.deepEqual(events(), ['next', 'room']);
    assert.ok(occupancy.isVacant);
  });

  it('takes no seat in front from the task that has it by now', () => {
    const { occupancy, events } = create();
    const seat = occupancy.takeNext(upscale);
    seat?.[Symbol.dispose]();
    occupancy.takeNext(denoise);
    events();
    seat?.[Symbol.dispose]();
    assert.equal(occupancy.next, denoise);
    assert.deepEqual(events(), []);
  });

  it('keeps the seat in front for who is expected, though who is here may take it', () => {
    const { occupancy, events } = create();
    const kept = occupancy.expect(upscale);
    assert.deepEqual([occupancy.isExpecting, occupancy.holds], [true, 'upscale']);
    assert.ok(occupancy.isVacant && occupancy.takeNext(denoise));
    assert.deepEqual(events(), ['next']);
    kept[Symbol.dispose]();
    kept[Symbol.dispose]();
    assert.deepEqual(events(), ['room']);
    assert.deepEqual([occupancy.isExpecting, occupancy.holds], [false, 'denoise']);
  });

  it('counts the seats of a tenant, at the GPU and in front of it', () => {
    const { occupancy } = create();
    const running = occupancy.takeGpu(upscale);
    occupancy.takeNext({ ...denoise, tenant: upscale.tenant });
    assert.deepEqual([occupancy.seatsOf('t'), occupancy.seatsOf('u')], [2, 0]);
    running.release();
    assert.equal(occupancy.seatsOf('t'), 1);
  });

  it('is occupied until the results are fetched, and its GPU until it is released', () => {
    const { occupancy, events } = create();
    const seat = occupancy.takeGpu(upscale);
    assert.equal(occupancy.running, upscale);
    seat.release();
    seat.release();
    assert.deepEqual(events(), ['gpu', 'gpu']);
    assert.ok(occupancy.running === null && !occupancy.isVacant);
    seat[Symbol.dispose]();
    seat[Symbol.dispose]();
    assert.deepEqual(events(), ['room']);
    assert.ok(occupancy.isVacant);
  });

  it('frees the GPU of a seat that is given up at once', () => {
    const { occupancy, events } = create();
    occupancy.takeGpu(upscale)[Symbol.dispose]();
    assert.deepEqual(events(), ['gpu', 'gpu', 'room']);
    assert.ok(occupancy.running === null && occupancy.isVacant);
  });

  it('counts the time from the first of several that run', () => {
    const { occupancy, clock } = create();
    const first = occupancy.takeGpu(upscale);
    clock.ms = 1_000;
    const second = occupancy.takeGpu(denoise);
    clock.ms = 1_500;
    first.release();
    assert.deepEqual([occupancy.running, occupancy.runningMs], [denoise, 1_500]);
    second.release();
    assert.equal(occupancy.runningMs, null);
    clock.ms = 2_000;
    occupancy.takeGpu(upscale);
    clock.ms = 2_300;
    assert.equal(occupancy.runningMs, 300);
  });

  it('knows how much of the time its GPU had a task', () => {
    const { occupancy, clock } = create();
    const seat = occupancy.takeGpu(upscale);
    clock.ms = 1_000;
    seat.release();
    clock.ms = 4_000;
    assert.equal(occupancy.busyShare, 0.25);
  });

  it('holds the models of the last task that has a seat, or else those in memory', () => {
    const { occupancy } = create();
    occupancy.posted('photo');
    assert.deepEqual([occupancy.warm, occupancy.holds], ['photo', 'photo']);
    const running = occupancy.takeGpu(upscale);
    assert.deepEqual([occupancy.warm, occupancy.holds], ['photo', 'upscale']);
    const next = occupancy.takeNext(denoise);
    assert.deepEqual([occupancy.warm, occupancy.holds], ['photo', 'denoise']);
    next?.[Symbol.dispose]();
    running[Symbol.dispose]();
    occupancy.cool();
    assert.deepEqual([occupancy.warm, occupancy.holds], [null, null]);
  });
});
