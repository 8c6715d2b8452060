import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { AudioSample, AudioSampleSource, BufferTarget, Mp4OutputFormat, Output } from 'mediabunny';
import { sampleWav } from '../../test/support/sample-wav.ts';
import type { AudioFormat } from '../core/media.ts';
import { generousLimits } from '../core/media-limits.ts';
import { encodeSound, type SoundFormat } from '../emulator/sound.ts';
import { MediaProbe } from './probe.ts';
import type { RangeReader } from './range-reader.ts';

const { signal } = new AbortController();
const seconds = 3;
const silence = { seconds, sampleRate: 48_000, channels: 2 };

describe('the probe of sounds', () => {
  const probe = new MediaProbe();
  const files = new Map<AudioFormat, Buffer>();
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tmlsr-sounds-'));
    for (const format of ['flac', 'mp3', 'opus'] satisfies SoundFormat[]) {
      await encodeSound(silence, format, { title: 'a'.repeat(9_000) }, join(folder, format));
      files.set(format, await readFile(join(folder, format)));
    }
    files.set('wav', sampleWav({ seconds, sampleRate: 48_000, channels: 2 }));
    files.set('m4a', await m4a());
  });
  after(() => rm(folder, { recursive: true }));

  async function probed(bytes: Buffer, by = probe) {
    const path = join(folder, 'sound');
    await writeFile(path, bytes);
    return await by.probe(path, signal);
  }

  it('tells the format, the length and the channels of every kind', async () => {
    for (const [format, bytes] of files) {
      const read: RangeReader['read'] = async (start, end) => bytes.subarray(start, end);
      for (const info of [
        await probed(bytes),
        await probe.probe({ size: bytes.length, read }, signal),
      ]) {
        assert.ok(info.kind === 'audio', format);
        assert.deepEqual([info.format, info.channels, info.sampleRate], [format, 2, 48_000]);
        assert.ok(
          Math.abs(info.durationSeconds - seconds) < 0.15,
          `${format} ${info.durationSeconds}`,
        );
      }
    }
  });

  it('finds a sound that was cut off, where the file tells how long it is', async () => {
    for (const format of ['wav', 'flac', 'm4a'] as const) {
      const bytes = files.get(format) ?? Buffer.alloc(0);
      for (const share of [0.5, 0.9]) {
        await assert.rejects(probed(bytes.subarray(0, bytes.length * share)), {
          code: 'media_corrupt',
          message: 'The sound is damaged or cut off',
        });
      }
    }
  });

  it('takes a WAV whose writer did not know its length', async () => {
    const wav = sampleWav({ seconds: 1 });
    wav.writeUInt32LE(0xffff_ffff, 4);
    wav.writeUInt32LE(0xffff_ffff, 40);
    const info = await probed(wav);
    assert.equal(info.kind === 'audio' && info.durationSeconds, 1);
  });

  it('holds a sound to the cap on seconds', async () => {
    const by = new MediaProbe({ limits: { ...generousLimits, maxVideoSeconds: 2 } });
    await assert.rejects(probed(sampleWav({ seconds: 3 }), by), {
      code: 'media_too_large',
      message: 'The sound lasts 3 s; 2 are the most',
    });
  });
});

/** As phones record it, with the brand of a sound. */
async function m4a(): Promise<Buffer> {
  const target = new BufferTarget();
  const output = new Output({ format: new Mp4OutputFormat({ fastStart: 'in-memory' }), target });
  const source = new AudioSampleSource({ codec: 'aac', bitrate: 64_000 });
  output.addAudioTrack(source);
  await output.start();
  const { sampleRate, channels: numberOfChannels } = silence;
  const data = new Float32Array(seconds * sampleRate * numberOfChannels);
  using sample = new AudioSample({
    data,
    format: 'f32',
    numberOfChannels,
    sampleRate,
    timestamp: 0,
  });
  await source.add(sample);
  source.close();
  await output.finalize();
  const bytes = Buffer.from(target.buffer ?? new ArrayBuffer(0));
  bytes.write('M4A ', 8, 'latin1');
  return bytes;
}
