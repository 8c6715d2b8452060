import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import type { ClipUse } from './clip-use.ts';
import type { AudioTrackInfo, MediaInfo, VideoInfo } from './media.ts';
import { knownFaults, mayBeMisread, serverFaults } from './server-faults.ts';
import { warningCodes } from './warning.ts';

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
const odd: VideoInfo = { ...plain, height: 47, stored: { width: 64, height: 47 } };
const { stored: _, rotation: __, bitDepth: ___, ...old } = { ...plain, width: 100 };
const image: MediaInfo = { kind: 'image', format: 'png', width: 33, height: 33 };

const track = (codec: string, layout: string | null): AudioTrackInfo => ({
  channels: layout === '5.1' ? 6 : 2,
  sampleRate: 48_000,
  codec,
  offsetSeconds: 0,
  layout,
});
const sounding = (...audioTracks: AudioTrackInfo[]): VideoInfo => ({
  ...plain,
  hasAudio: true,
  audioTracks,
});
const pcm = sounding(track('pcm-s16', 'stereo'));
const surround = sounding(track('aac', '5.1'));
const spatial = sounding(track('aac', 'stereo'), track('apac', null));

const read: ClipUse = {
  reader: 'comfyui',
  isDecoded: true,
  sound: [{ node: '6', field: 'audio' }],
  needsSound: false,
};
const silent: ClipUse = { ...read, sound: [] };
const copied: ClipUse = { ...silent, isDecoded: false };
const vhs: ClipUse = { ...read, reader: 'vhs' };

const sources = {
  plain,
  turned,
  deep,
  narrow,
  odd,
  old,
  image,
  pcm,
  surround,
  spatial,
  flac: sounding(track('flac', 'mono')),
  // The last track is the one that is read.
  'pcm and aac': sounding(track('pcm-s16', 'stereo'), track('aac', 'stereo')),
  'deep and narrow': { ...narrow, bitDepth: 10 },
  'deep and turned': { ...turned, bitDepth: 10 },
} satisfies Record<string, MediaInfo>;
const uses = { read, silent, copied, vhs, unknown: null };

const table: [
  version: string | null,
  source: keyof typeof sources,
  use: keyof typeof uses,
  ...codes: string[],
][] = [
  ['0.3.64', 'plain', 'read'],
  ['0.3.64', 'turned', 'read', 'lies-on-its-side'],
  ['0.20.9', 'turned', 'read', 'lies-on-its-side'],
  ['0.21.0', 'turned', 'read'],
  ['v0.33.0-dev', 'turned', 'read'],
  ['1.0', 'turned', 'read'],
  ['0.3.64', 'deep', 'read', 'loses-depth'],
  ['0.20.0', 'deep', 'read'],
  ['0.24.1', 'narrow', 'read', 'decodes-unevenly'],
  ['0.25.0', 'narrow', 'read'],
  ['0.24.1', 'odd', 'read', 'fails-on-odd-heights'],
  ['0.25.0', 'odd', 'read'],
  ['0.3.64', 'old', 'read', 'decodes-unevenly'],
  ['0.16.4', 'pcm', 'read', 'garbles-sound'],
  ['0.16.4', 'flac', 'read', 'garbles-sound'],
  ['0.17.0', 'pcm', 'read'],
  ['0.16.4', 'pcm', 'silent'],
  ['0.16.4', 'surround', 'read', 'stretches-surround'],
  ['0.17.0', 'surround', 'read'],
  ['0.16.4', 'pcm and aac', 'read'],
  ['0.27.0', 'spatial', 'read', 'dies-of-unknown-sound'],
  ['0.27.0', 'spatial', 'silent', 'dies-of-unknown-sound'],
  ['0.28.0', 'spatial', 'read'],
  ['0.3.64', 'deep and narrow', 'read', 'loses-depth', 'decodes-unevenly'],
  ['0.3.64', 'deep and narrow', 'copied'],
  ['0.3.64', 'spatial', 'copied'],
  ['0.3.64', 'turned', 'copied', 'lies-on-its-side'],
  ['0.3.64', 'deep and turned', 'vhs'],
  ['0.3.64', 'turned', 'unknown'],
  ['0.3.64', 'image', 'read'],
  [null, 'turned', 'read'],
];

describe('what a server gets wrong', () => {
  for (const [version, source, use, ...codes] of table) {
    it(`${version} of ${source}, ${use}: ${codes.join(', ') || 'nothing'}`, () => {
      assert.deepEqual(
        serverFaults(version, sources[source], uses[use]).map(({ code }) => code),
        codes,
      );
    });
  }

  it('is nothing of a usual clip, in whatever version', () => {
    assert.equal(mayBeMisread(plain, read), false);
    assert.equal(mayBeMisread(turned, read), true);
    assert.equal(mayBeMisread(turned, vhs), false);
  });
});

describe('docs/operators.md', () => {
  const text = readFileSync(new URL('../../docs/operators.md', import.meta.url), 'utf8');

  it('tells what versions get wrong as the gateway knows it', () => {
    const [table = ''] = text.slice(text.indexOf('| before | ComfyUI |')).split('\n\n');
    const rows = table
      .split('\n')
      .slice(2)
      .map((line) => line.split('|').map((cell) => cell.trim()));
    assert.deepEqual(
      rows.map(([, until, what]) => [until, what]),
      knownFaults.map(({ until, what }) => [until, what]),
    );
  });

  it('has a row for each warning', () => {
    const said = text.slice(text.indexOf('## Warnings'));
    assert.deepEqual(
      [...said.matchAll(/^\| `(\w+)` \|/gm)].map(([, code]) => code).toSorted(),
      warningCodes.toSorted(),
    );
  });
});
