import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { VideoInfo } from './media.ts';
import { checkLimits, generousLimits, limitsFor } from './media-limits.ts';

const video: VideoInfo = {
  kind: 'video',
  format: 'mp4',
  width: 1_920,
  height: 1_080,
  durationSeconds: 60,
  fps: 25,
  frames: 1_500,
  codec: 'avc',
  hasAudio: false,
};

describe('checkLimits', () => {
  it('lets through what is just within them', () => {
    const own = { maxPixels: 1_920 * 1_080, maxSeconds: 60, maxFrames: 1_500 };
    checkLimits(video, limitsFor(own, generousLimits));
    checkLimits({ ...video, frames: null }, limitsFor({ maxFrames: 1 }, generousLimits));
  });

  const beyond = [
    [{ maxPixels: 1_920 * 1_080 - 1 }, /1920x1080 pixels; 2073599 in all/],
    [{ maxSeconds: 59.9 }, /lasts 60 s; 59.9 are/],
    [{ maxFrames: 1_499 }, /1500 frames; 1499 are/],
  ] as const;
  for (const [own, message] of beyond) {
    it(`says by which it is too large: ${Object.keys(own)}`, () => {
      const limits = limitsFor(own, generousLimits);
      assert.throws(() => checkLimits(video, limits), { code: 'media_too_large', message });
    });
  }

  it('puts what a workflow says over what is said of all, in both directions', () => {
    const general = { ...generousLimits, maxVideoSeconds: 10 };
    assert.throws(() => checkLimits(video, general), { code: 'media_too_large' });
    checkLimits(video, limitsFor({ maxSeconds: 100 }, general));
  });
});
