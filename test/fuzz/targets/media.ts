import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MkvOutputFormat, MovOutputFormat, WebMOutputFormat } from 'mediabunny';
import sharp from 'sharp';
import { GatewayError } from '../../../src/core/errors.ts';
import { mediaKindOf, type VideoFormat } from '../../../src/core/media.ts';
import { encodeSound } from '../../../src/emulator/sound.ts';
import { readBoxes } from '../../../src/media/clip/boxes.ts';
import { findSps, readSps } from '../../../src/media/clip/h264-sps.ts';
import { clipStart } from '../../../src/media/clip-start.ts';
import { segmentEnd } from '../../../src/media/matroska.ts';
import { Scanner } from '../../../src/media/metadata/edit.ts';
import { findEdits, readPngFacts, scan } from '../../../src/media/metadata/find-edits.ts';
import { pngFrames } from '../../../src/media/metadata/png.ts';
import { MediaProbe } from '../../../src/media/probe.ts';
import type { RangeReader } from '../../../src/media/range-reader.ts';
import { sniffBuffer, sniffBytes } from '../../../src/media/sniff.ts';
import { sampleClip, sampleMp4, samplePng } from '../../support/media-samples.ts';
import { sampleWav } from '../../support/sample-wav.ts';
import { mutatedBytes } from '../mutate.ts';
import { type FuzzTarget, type Property, target } from '../target.ts';

const shape = { width: 32, height: 24, frames: 3, fps: 10 };
const { signal } = new AbortController();
const tag = { primaries: 1, transfer: 1, matrix: 6 };

async function pictures(): Promise<Buffer[]> {
  const png = await samplePng(shape);
  const withExif = sharp(png).withExif({ IFD0: { ImageDescription: '{"graph": 1}', Make: 'a' } });
  return [
    png,
    await sharp(png).png({ progressive: true, palette: true }).toBuffer(),
    await withExif.clone().jpeg().toBuffer(),
    await withExif.clone().jpeg({ progressive: true }).toBuffer(),
    await withExif.clone().webp().toBuffer(),
    await sharp(png).gif().toBuffer(),
    await withExif.clone().tiff({ compression: 'lzw' }).toBuffer(),
    await withExif.clone().avif({ effort: 0 }).toBuffer(),
  ];
}

async function clips(): Promise<Buffer[]> {
  const tags = { title: 'a', comment: '{"graph": 1}' };
  return [
    await sampleMp4(shape),
    await sampleClip({ ...shape, format: new MovOutputFormat(), codec: 'avc', audio: true, tags }),
    await sampleClip({ ...shape, format: new MkvOutputFormat(), codec: 'avc', tags }),
    await sampleClip({ ...shape, format: new WebMOutputFormat(), codec: 'vp9', tags }),
  ];
}

/** With something to take out of each. */
async function sounds(parts: AsyncDisposableStack): Promise<Buffer[]> {
  const folder = await temporaryFolder(parts);
  const made: Buffer[] = [sampleWav({ seconds: 0.1 })];
  for (const format of ['flac', 'mp3', 'opus'] as const) {
    const path = join(folder, format);
    const silence = { seconds: 0.1, sampleRate: 48_000, channels: 2 };
    await encodeSound(silence, format, { prompt: '{"graph": 1}' }, path);
    made.push(await readFile(path));
  }
  return made;
}

/** Edits, fields, another shape, a turn, a stream: what is read beside mediabunny. */
async function oddClips(): Promise<Buffer[]> {
  const names = ['cases/rot90.mp4', 'cases/sar.mp4', 'cases/ts30.mp4', 'cases/twov.mkv'];
  const more = ['clips/cut-film.mp4', 'clips/interlaced-mpeg2.mkv', 'clips/plain.m2ts'];
  const read = (name: string) => readFile(new URL(`../../media/${name}`, import.meta.url));
  return await Promise.all([...names, ...more].map(read));
}

function readerOf(bytes: Buffer): RangeReader {
  return { size: bytes.length, read: async (start, end) => bytes.subarray(start, end) };
}

async function temporaryFolder(parts: AsyncDisposableStack): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tmlsr-fuzz-'));
  parts.defer(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Bytes on a disk, as they are when a source has come. */
async function onDisk(
  parts: AsyncDisposableStack,
  seeds: readonly Buffer[],
): Promise<Property<Buffer>> {
  const path = join(await temporaryFolder(parts), 'source');
  const probe = new MediaProbe({ imageDeadlineMs: 500, videoWorkDeadlineMs: 500 });
  return {
    cases: mutatedBytes(seeds),
    async check(bytes) {
      await writeFile(path, bytes);
      for (const from of [path, readerOf(bytes)]) {
        try {
          const info = await probe.probe(from, signal);
          if (info.kind === 'audio') assert.ok(info.channels > 0 && info.sampleRate > 0);
          else assert.ok(info.width > 0 && info.height > 0);
        } catch (error) {
          assert.ok(
            error instanceof GatewayError && error.code.startsWith('media_'),
            String(error),
          );
        }
      }
    },
  };
}

export const mediaTargets: readonly FuzzTarget[] = [
  target('sniff', 3, async (parts) => ({
    cases: mutatedBytes([...(await pictures()), ...(await clips()), ...(await sounds(parts))]),
    async check(bytes: Buffer) {
      const format = await sniffBuffer(bytes.subarray(0, sniffBytes));
      if (format !== null) assert.ok(mediaKindOf(format));
      const end = segmentEnd(bytes);
      assert.ok(end === null || end > 0);
    },
  })),
  target('metadata', 4, async (parts) => ({
    cases: mutatedBytes([...(await pictures()), ...(await clips()), ...(await sounds(parts))]),
    async check(bytes: Buffer) {
      const reader = readerOf(bytes);
      const format = await sniffBuffer(bytes.subarray(0, sniffBytes));
      if (format === null) return;
      const file = scan(reader, signal);
      const colour = { ifMatrixIsRead: tag, ifMatrixIsIgnored: tag };
      const edits = await orDamage(findEdits(file, format, { keepsMetadata: false, colour }));
      for (const { start, end } of edits ?? [])
        assert.ok(start >= 0 && start <= end && end <= bytes.length);
      if (mediaKindOf(format) === 'video') await orDamage(clipStart(file, format as VideoFormat));
      if (format === 'png') await orDamage(pngFrames(file));
      if (format === 'png') await orDamage(readPngFacts(reader, signal));
    },
  })),
  target('clip-boxes', 2, async () => ({
    cases: mutatedBytes([...(await clips()), ...(await oddClips())]),
    async check(bytes) {
      const read = async (start: number, end: number) => bytes.subarray(start, end);
      const { iso } = await readBoxes(new Scanner(bytes.length, read, 64 * 1024));
      for (const { sampleTicks, edits } of iso.values()) {
        assert.ok(edits.length <= 100);
        assert.ok((sampleTicks?.ticks.length ?? 0) <= 2_000_000);
      }
      const unit = findSps(null, bytes);
      const sps = unit && readSps(unit);
      assert.ok(!sps || (sps.size.width > 0 && sps.size.height > 0));
    },
  })),
  target('pictures', 0.5, async (parts) => await onDisk(parts, await pictures())),
  target('sounds', 0.04, async (parts) => await onDisk(parts, await sounds(parts))),
  target('clips', 0.04, async (parts) =>
    onDisk(parts, [...(await clips()), ...(await oddClips())]),
  ),
];

/** What is damaged is told by an error, but not by one of the language. */
async function orDamage<T>(found: Promise<T>): Promise<T | null> {
  try {
    return await found;
  } catch (error) {
    assert.ok(error instanceof Error && error.constructor === Error, String(error));
    return null;
  }
}
