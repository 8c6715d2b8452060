import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { VideoInfo } from '../core/media.ts';
import { MediaProbe } from './probe.ts';

const probe = new MediaProbe();
const { signal } = new AbortController();

/** Frames, sizes and lengths as FFmpeg 8 decodes them (PyAV 18.1). */
const clips: Readonly<Record<string, Partial<VideoInfo>>> = {
  'cases/longaudio.mp4': { frames: 20, durationSeconds: 2, fps: 10, hasAudio: true },
  'cases/duration-unknown.mp4': { frames: 10, durationSeconds: 1, fps: 10 },
  'cases/cut.mp4': { frames: 42, durationSeconds: 4.3, fps: 10, isVariableRate: false },
  'cases/ts30.mp4': { frames: 20, durationSeconds: 2, fps: 10 },
  'cases/sar.mp4': { width: 85, height: 48, stored: { width: 64, height: 48 }, rotation: 0 },
  'cases/twov.mkv': { width: 160, height: 90, frames: 30, fps: 30 },
  'cases/rot90.mp4': { width: 48, height: 64, stored: { width: 64, height: 48 }, rotation: 270 },
  'cases/hdr.mp4': {
    isHdr: true,
    bitDepth: 10,
    color: { primaries: 9, transfer: 16, matrix: 9, isFullRange: false },
  },
  'cases/x.3gp': { format: '3gp', width: 128, height: 96, frames: 10 },
  'clips/cut-film.mp4': { frames: 22, fps: 23.976, isVariableRate: false },
  'clips/hlg.mkv': { isHdr: true, bitDepth: 8, isInterlaced: false },
  'clips/interlaced.m2ts': { format: 'ts', width: 64, height: 48, frames: 10, isInterlaced: true },
  'clips/interlaced-mpeg2.mkv': { codec: null, isInterlaced: true, bitDepth: undefined },
  'clips/plain.m2ts': {
    format: 'ts',
    frames: 10,
    durationSeconds: 1,
    isInterlaced: false,
    audioTracks: [
      { channels: 1, sampleRate: 8_000, codec: 'aac', offsetSeconds: -0.128, layout: 'mono' },
    ],
  },
  'clips/tall.mkv': { width: 64, height: 64, stored: { width: 64, height: 48 } },
  'clips/variable.mp4': { frames: 13, durationSeconds: 1.9, fps: 6.842, isVariableRate: true },
  'clips/surround.mp4': {
    audioTracks: [
      { channels: 6, sampleRate: 8_000, codec: 'aac', offsetSeconds: 0, layout: '5.1' },
    ],
  },
  'clips/late-picture.mov': {
    frames: 10,
    durationSeconds: 1,
    audioTracks: [
      { channels: 1, sampleRate: 8_000, codec: 'aac', offsetSeconds: -0.5, layout: 'mono' },
      { channels: 2, sampleRate: 8_000, codec: 'pcm-s16', offsetSeconds: -0.5, layout: 'stereo' },
    ],
  },
};

const refused: Readonly<Record<string, RegExp>> = {
  'clips/h264.avi': /^AVI is not taken; .*: ffmpeg -fflags \+genpts -i in\.avi -c copy out\.mkv$/,
  'clips/mpeg2.m2ts': /^The MPEG-TS has no H\.264 or HEVC; .* -i in\.ts -c copy out\.mkv$/,
};

function pathOf(name: string): string {
  return fileURLToPath(new URL(`../../test/media/${name}`, import.meta.url));
}

describe('a clip', () => {
  for (const [name, expected] of Object.entries(clips)) {
    it(`is told as a player shows it: ${name}`, async () => {
      assert.partialDeepStrictEqual(await probe.probe(pathOf(name), signal), expected);
    });
  }

  for (const [name, message] of Object.entries(refused)) {
    it(`is refused with what to do: ${name}`, async () => {
      const expected = { code: 'media_unsupported', message };
      await assert.rejects(probe.probe(pathOf(name), signal), expected);
    });
  }
});
