import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ClipUse } from './clip-use.ts';
import type { AudioTrackInfo, VideoInfo } from './media.ts';
import { checkSound, readingOf } from './read-clip.ts';

const plain: VideoInfo = {
  kind: 'video',
  format: 'mp4',
  width: 64,
  height: 48,
  durationSeconds: 1,
  fps: 25,
  frames: 25,
  codec: 'avc',
  hasAudio: false,
};
const sounding = (track: Partial<AudioTrackInfo>): VideoInfo => ({
  ...plain,
  hasAudio: true,
  audioTracks: [
    { channels: 2, sampleRate: 48_000, codec: 'aac', offsetSeconds: 0, layout: 'stereo', ...track },
  ],
});
const stereo = sounding({});
const surround = sounding({ channels: 6, layout: '5.1' });
const quad = sounding({ channels: 4, layout: 'quad' });
const pcm = sounding({ codec: 'pcm-s16' });

const comfyui: ClipUse = {
  reader: 'comfyui',
  isDecoded: true,
  sound: [{ node: '6', field: 'audio' }],
  needsSound: false,
};
const vhs: ClipUse = { ...comfyui, reader: 'vhs' };
const bound: ClipUse = { ...comfyui, needsSound: true };

describe('the sound of a clip', () => {
  const isLeftOut = (clip: VideoInfo, use: ClipUse, version: string | null) => {
    const { leftOut, warnings } = readingOf('video', clip, use, version);
    return [leftOut.length > 0, ...warnings.map(({ code }) => code)];
  };

  it('goes its way where servers are known to take it', () => {
    for (const version of ['0.3.64', '0.33.0', null]) {
      for (const use of [comfyui, vhs]) assert.deepEqual(isLeftOut(stereo, use, version), [false]);
    }
    assert.deepEqual(isLeftOut(surround, comfyui, '0.33.0'), [false]);
  });

  it('is left out where the server spoils it, or might go down', () => {
    for (const [clip, use, version] of [
      [surround, comfyui, '0.3.64'],
      [pcm, comfyui, '0.3.64'],
      [quad, comfyui, '0.33.0'],
      [quad, comfyui, null],
      [quad, vhs, '0.33.0'],
      [surround, vhs, '0.33.0'],
      [sounding({ layout: null }), comfyui, '0.33.0'],
    ] as const) {
      assert.deepEqual(isLeftOut(clip, use, version), [true, 'sound_left_out']);
    }
  });

  it('is told in a sentence', () => {
    const messages = [quad, pcm].map(
      (clip) => readingOf('video', clip, comfyui, '0.3.64').warnings[0]?.message,
    );
    assert.deepEqual(messages, [
      'The sound of the source is left out: it has 4 channels (quad), and the nodes that read it are only known to take mono, stereo, 5.1',
      'The sound of the source is left out: ComfyUI 0.3.64 makes noise of PCM and FLAC sound (mended in 0.17.0)',
    ]);
  });

  it('is not promised by VideoHelperSuite where there is none, which nobody needs to hear', () => {
    assert.deepEqual(isLeftOut(plain, vhs, '0.33.0'), [true]);
    assert.deepEqual(isLeftOut(plain, comfyui, '0.33.0'), [false]);
  });

  it('that cannot be left out is refused where it might end a server, and warned of where it is spoilt', () => {
    assert.throws(() => checkSound('video', quad, bound), {
      code: 'media_unsupported',
      field: 'video',
      message:
        /^The sound of video cannot be left out of this workflow: it has 4 channels \(quad\)/,
    });
    checkSound('video', quad, comfyui);
    checkSound('video', surround, bound);
    const whole: ClipUse = { ...bound, sound: [] };
    assert.deepEqual(isLeftOut(pcm, whole, '0.3.64'), [false, 'sound_garbled']);
  });
});

describe('a clip that a server misreads', () => {
  const deep: VideoInfo = { ...plain, width: 100, bitDepth: 10, rotation: 90 };

  it('is turned by the gateway, and the rest is told', () => {
    const { turn, warnings } = readingOf('video', deep, comfyui, '0.3.64');
    assert.equal(turn, 90);
    assert.deepEqual(warnings, [
      {
        code: 'depth_lost',
        message: 'ComfyUI 0.3.64 reads clips of more than 8 bits as 8 (mended in 0.20.0)',
      },
      {
        code: 'uneven_width',
        message:
          'ComfyUI 0.3.64 does not read a clip the same each time whose width is no multiple of 32 (mended in 0.25.0)',
      },
    ]);
    const { turn: none, warnings: nothing } = readingOf('video', deep, comfyui, '0.33.0');
    assert.deepEqual([none, nothing], [0, []]);
  });

  it('is kept from one that would go down', () => {
    const tracks = [...(stereo.audioTracks ?? []), { ...quad.audioTracks?.[0], codec: 'apac' }];
    const spatial = { ...stereo, audioTracks: tracks as AudioTrackInfo[] };
    assert.throws(() => readingOf('video', spatial, comfyui, '0.27.0'), {
      code: 'workflow_unsupported',
      field: 'video',
    });
    assert.deepEqual(readingOf('video', spatial, comfyui, '0.28.0').leftOut, []);
  });
});
