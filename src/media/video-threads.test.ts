import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { WebMOutputFormat } from 'mediabunny';
import { sampleClip, sampleMp4 } from '../../test/support/media-samples.ts';
import type { RangeReader } from './range-reader.ts';
import { VideoThreads } from './video-threads.ts';

const { signal } = new AbortController();
const tempo = { idleMs: 1_000, lookMs: 10 };

/** Each piece comes after so many milliseconds. */
function readerOf(bytes: Buffer, waitMs = 0): RangeReader {
  return {
    size: bytes.length,
    read: async (start, end) => {
      await delay(waitMs);
      return bytes.subarray(start, end);
    },
  };
}

async function widthOf(threads: VideoThreads, reader: RangeReader, by = signal, workMs = 60_000) {
  const until = { signal: by, workMs };
  const answer = await threads.read(reader, { isWhole: true, kind: 'video' }, until);
  return answer.kind === 'info' ? answer.info.width : answer.kind;
}

test('clips are told apart that one thread reads after another, and several beside each other', async () => {
  const threads = new VideoThreads(tempo);
  const widths = [16, 32, 48, 64];
  const clips = await Promise.all(
    widths.map((width) => sampleMp4({ width, height: 16, frames: 3, fps: 10 })),
  );
  for (const [i, clip] of clips.entries()) {
    assert.equal(await widthOf(threads, readerOf(clip)), widths[i]);
  }
  const beside = clips.map((clip, i) => widthOf(threads, readerOf(clip, 5 - i)));
  assert.deepEqual(await Promise.all(beside), widths);
});

test('a clip after a damaged one, and after one that was given up, is read as ever', async () => {
  const threads = new VideoThreads(tempo);
  const clip = await sampleMp4({ width: 32, height: 16, frames: 3, fps: 10 });
  assert.equal(await widthOf(threads, readerOf(clip)), 32);
  assert.equal(await widthOf(threads, readerOf(clip.subarray(0, clip.length - 200))), 'failed');
  const givenUp = AbortSignal.timeout(20);
  await assert.rejects(widthOf(threads, readerOf(clip, 60_000), givenUp), { name: 'TimeoutError' });
  const away = { size: clip.length, read: () => Promise.reject(new Error('away')) };
  await assert.rejects(widthOf(threads, away), { message: 'away' });
  assert.equal(await widthOf(threads, readerOf(clip)), 32);
});

test('a thread that nobody has a use for ends', async () => {
  const threads = new VideoThreads({ ...tempo, idleMs: 20 });
  const clip = await sampleMp4({ width: 32, height: 16, frames: 3, fps: 10 });
  assert.equal(await widthOf(threads, readerOf(clip)), 32);
  await delay(200);
  assert.equal(await widthOf(threads, readerOf(clip)), 32);
});

test('a thread that works for too long is given up, and one that waits is not', async () => {
  const threads = new VideoThreads(tempo);
  const clip = await sampleMp4({ width: 32, height: 16, frames: 3, fps: 10 });
  assert.equal(await widthOf(threads, readerOf(clip, 100), signal, 2_000), 32);
  const format = new WebMOutputFormat({ appendOnly: true });
  const live = await sampleClip({
    width: 32,
    height: 16,
    frames: 3,
    fps: 10,
    format,
    codec: 'vp8',
  });
  // After its packets comes nothing, without end.
  const endless: RangeReader = {
    size: 1e12,
    read: async (start, end) => {
      const piece = live.subarray(start, end);
      return Buffer.concat([piece, Buffer.alloc(end - start - piece.length)]);
    },
  };
  await assert.rejects(widthOf(threads, endless, signal, 100), { message: 'It takes too long' });
});
