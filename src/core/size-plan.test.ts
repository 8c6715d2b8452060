import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { GatewayError } from './errors.ts';
import type { ImageInfo, VideoInfo } from './media.ts';
import { planSize, sizeAsTheWorkflowGives } from './size-plan.ts';

const image: ImageInfo = { kind: 'image', format: 'png', width: 301, height: 200 };
const video: VideoInfo = {
  kind: 'video',
  format: 'mp4',
  width: 301,
  height: 200,
  durationSeconds: 1,
  fps: 25,
  frames: 25,
  codec: 'avc',
  hasAudio: false,
};
const none = sizeAsTheWorkflowGives;

describe('planSize', () => {
  const cases = [
    ['leaves the size to the workflow when none is asked for', image, none, null],
    ['multiplies by outscale', image, { ...none, outscale: 2 }, { width: 602, height: 400 }],
    [
      'lets the magnification win over outscale',
      image,
      { ...none, outscale: 4, magnification: 1.5 },
      { width: 452, height: 300 },
    ],
    [
      'lets exact dimensions win over both',
      image,
      { outscale: 4, magnification: 1.5, dims: { width: 37, height: 41 } },
      { width: 37, height: 41 },
    ],
    ['never plans an empty side', image, { ...none, outscale: 0.001 }, { width: 1, height: 1 }],
    [
      'makes the sides of a video even',
      video,
      { ...none, magnification: 1.5 },
      { width: 452, height: 300 },
    ],
    [
      'makes the asked dimensions of a video even',
      video,
      { ...none, dims: { width: 37, height: 41 } },
      { width: 38, height: 42 },
    ],
    [
      'gives a video two pixels a side at least',
      video,
      { ...none, outscale: 0.001 },
      { width: 2, height: 2 },
    ],
  ] as const;
  for (const [name, source, request, expected] of cases) {
    it(name, () => assert.deepEqual(planSize(source, request), expected));
  }

  it('refuses a result whose side ComfyUI could not make', () => {
    assert.throws(
      () => planSize({ ...image, width: 5000 }, { ...none, outscale: 4 }),
      (error) => error instanceof GatewayError && error.code === 'media_too_large',
    );
  });
});
