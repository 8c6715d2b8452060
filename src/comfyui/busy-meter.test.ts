import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { BusyMeter } from './busy-meter.ts';

const second = 1_000;
const minute = 60 * second;
/** Any instant; slices are counted from it. */
const start = 1_795_226_262_386;

interface Case {
  readonly it: string;
  /** Begin (+) and end (-), with milliseconds since the start. */
  readonly events: readonly (readonly ['+' | '-', number])[];
  readonly at: number;
  readonly share: number;
}

const cases: readonly Case[] = [
  { it: 'is 0 before anything began', events: [], at: minute, share: 0 },
  { it: 'is 0 in its first instant', events: [['+', 0]], at: 0, share: 0 },
  { it: 'is 1 when it began at once and goes on', events: [['+', 0]], at: 10 * second, share: 1 },
  {
    it: 'counts from its start while it is younger than five minutes',
    events: [
      ['+', 1_500],
      ['-', 2_750],
    ],
    at: 5 * second,
    share: 0.25,
  },
  {
    it: 'counts what goes on together with what is over',
    events: [
      ['+', 0],
      ['-', 10 * second],
      ['+', 30 * second],
    ],
    at: 40 * second,
    share: 0.5,
  },
  {
    it: 'counts nested ones once',
    events: [
      ['+', 0],
      ['+', 5 * second],
      ['-', 10 * second],
      ['-', 20 * second],
    ],
    at: 40 * second,
    share: 0.5,
  },
  {
    it: 'forgets what is older than five minutes',
    events: [
      ['+', 0],
      ['-', 2 * minute],
    ],
    at: 6 * minute,
    share: 0.2,
  },
  {
    it: 'forgets everything in the end',
    events: [
      ['+', 0],
      ['-', 2 * minute],
    ],
    at: 10 * minute,
    share: 0,
  },
  {
    it: 'is 1 through an hour of work, and counts the last five minutes of it afterwards',
    events: [
      ['+', 0],
      ['-', 60 * minute],
    ],
    at: 64 * minute,
    share: 0.2,
  },
  {
    it: 'lets an end without a beginning pass',
    events: [
      ['-', second],
      ['+', 2 * second],
      ['-', 3 * second],
    ],
    at: 4 * second,
    share: 0.25,
  },
];

describe('BusyMeter', () => {
  for (const { it: sentence, events, at, share } of cases) {
    it(sentence, () => {
      const meter = new BusyMeter(start);
      for (const [sign, ms] of events) {
        if (sign === '+') meter.begin(start + ms);
        else meter.end(start + ms);
      }
      assert.equal(meter.share(start + at), share);
    });
  }

  it('stays right through hours of prompts of a few milliseconds', () => {
    const meter = new BusyMeter(start);
    const until = 120 * minute;
    for (let ms = 0; ms < until; ms += 40) {
      meter.begin(start + ms);
      meter.end(start + ms + 10);
    }
    assert.equal(meter.share(start + until), 0.25);
    // In the middle of a slice it is right to a slice in three hundred.
    assert.ok(Math.abs(meter.share(start + until + 300) - 0.25) < 1 / 300);
  });

  it('comes to an end whatever fractions the clock gives', () => {
    const instant = fc.double({ min: 0, max: 400_000, noNaN: true });
    fc.assert(
      fc.property(instant, fc.array(fc.tuple(instant, instant)), (start, spans) => {
        const meter = new BusyMeter(start);
        let now = start;
        for (const [idle, busy] of spans) {
          now += idle;
          meter.begin(now);
          now += busy;
          meter.end(now);
        }
        const share = meter.share(now);
        assert.ok(share >= 0 && share <= 1);
      }),
    );
  });
});
