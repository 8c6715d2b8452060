import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { MediaInfo, VideoInfo } from './media.ts';
import { serverFaults } from './server-faults.ts';

const plain: VideoInfo = {
  kind: 'video',
  format: 'mp4',
  width: 64,
  height: 48,
  stored: { width: 64, height: 48 },
  rotation: 0,
  durationSeconds: 1,
  fps: 25,
  frames: 25,
  codec: 'avc',
  bitDepth: 8,
  hasAudio: false,
};
const turned: VideoInfo = { ...plain, width: 48, height: 64, rotation: 90 };
const deep: VideoInfo = { ...plain, bitDepth: 10 };
const narrow: VideoInfo = { ...plain, width: 100, stored: { width: 100, height: 48 } };
const { stored: _, rotation: __, bitDepth: ___, ...old } = { ...plain, width: 100 };
const image: MediaInfo = { kind: 'image', format: 'png', width: 33, height: 33 };

const table: [version: string | null, source: MediaInfo, ...codes: string[]][] = [
  ['0.3.64', plain],
  ['0.3.64', turned, 'lies-on-its-side'],
  ['0.20.9', turned, 'lies-on-its-side'],
  ['0.21.0', turned],
  ['v0.33.0-dev', turned],
  ['1.0', turned],
  ['0.3.64', deep, 'loses-depth'],
  ['0.20.0', deep],
  ['0.24.1', narrow, 'decodes-unevenly'],
  ['0.25.0', narrow],
  ['0.3.64', old, 'decodes-unevenly'],
  ['0.3.64', image],
  [null, turned],
];

describe('what a server gets wrong', () => {
  for (const [version, source, ...codes] of table) {
    it(`${version} of ${JSON.stringify(source)}: ${codes}`, () => {
      assert.deepEqual(
        serverFaults(version, source).map(({ code }) => code),
        codes,
      );
    });
  }
});
