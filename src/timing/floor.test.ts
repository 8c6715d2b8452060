import assert from 'node:assert/strict';
import { PassThrough, Readable } from 'node:stream';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { aboveFloor, type Floor } from './floor.ts';

const floor: Floor = { floorDeadlineMs: 100, minBytesPerSecond: 10_000 };
const tooSlow = () => new Error('too slow');

/** Yields `bytes` every `everyMs`, for ever or so often. */
async function* drops(bytes: number, everyMs: number, times = Number.POSITIVE_INFINITY) {
  for (let i = 0; i < times; i += 1) {
    yield Buffer.alloc(bytes);
    await delay(everyMs);
  }
}

describe('aboveFloor', () => {
  it('gives on what comes fast enough, to its end', async () => {
    const stream = aboveFloor(Readable.from(drops(1_000, 20, 15)), floor, tooSlow);
    assert.equal(Buffer.concat(await stream.toArray()).length, 15_000);
  });

  it('ends what drips, and closes it', { timeout: 10_000 }, async () => {
    const dripping = Readable.from(drops(1, 10));
    await assert.rejects(aboveFloor(dripping, floor, tooSlow).toArray(), tooSlow());
    assert.equal(dripping.destroyed, true);
  });

  it('ends what is silent', { timeout: 10_000 }, async () => {
    const silent = new PassThrough();
    await assert.rejects(aboveFloor(silent, floor, tooSlow).toArray(), tooSlow());
  });

  it('does not blame it for a reader that is slow', async () => {
    const stream = aboveFloor(Readable.from(drops(20_000, 0, 20)), floor, tooSlow);
    let bytes = 0;
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      await delay(20);
    }
    assert.equal(bytes, 400_000);
  });

  it('gives on what the stream breaks off with, and closes it when the reader goes', async () => {
    const broken = new PassThrough();
    const read = aboveFloor(broken, floor, tooSlow).toArray();
    broken.destroy(new Error('reset'));
    await assert.rejects(read, new Error('reset'));
    const left = new PassThrough();
    const watched = aboveFloor(left, floor, tooSlow);
    watched.destroy();
    await delay(0);
    assert.equal(left.destroyed, true);
  });
});
