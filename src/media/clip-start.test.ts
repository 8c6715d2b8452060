import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { MkvOutputFormat, MovOutputFormat, Mp4OutputFormat, WebMOutputFormat } from 'mediabunny';
import { sampleClip } from '../../test/support/media-samples.ts';
import type { VideoFormat } from '../core/media.ts';
import { clipStart } from './clip-start.ts';
import { scan } from './metadata/find-edits.ts';
import { isKeyPacket } from './metadata/key-packet.ts';

const { signal } = new AbortController();
const folder = new URL('../../test/media/', import.meta.url);

async function startOf(bytes: Buffer, format: VideoFormat) {
  const read = async (from: number, to: number) => bytes.subarray(from, to);
  return await clipStart(scan({ size: bytes.length, read }, signal), format);
}

const shape = { width: 64, height: 48, frames: 30, fps: 10, audio: true };

test('a clip begins with a key frame, and its tables count its frames', async () => {
  const mp4 = await sampleClip({ ...shape, format: new Mp4OutputFormat(), codec: 'avc' });
  assert.deepEqual(await startOf(mp4, 'mp4'), { isKey: true, frames: 30 });
  const mov = await sampleClip({ ...shape, format: new MovOutputFormat(), codec: 'hevc' });
  assert.deepEqual(await startOf(mov, 'mov'), { isKey: true, frames: 30 });
  const one = await sampleClip({
    ...shape,
    frames: 1,
    format: new Mp4OutputFormat(),
    codec: 'avc',
  });
  assert.deepEqual(await startOf(one, 'mp4'), { isKey: true, frames: 1 });
  const mkv = await sampleClip({ ...shape, format: new MkvOutputFormat(), codec: 'avc' });
  assert.deepEqual(await startOf(mkv, 'mkv'), { isKey: true, frames: null });
  for (const name of ['vp9-720', 'av1-10-bit-720']) {
    const webm = await readFile(new URL(`made/${name}.webm`, folder));
    assert.deepEqual(await startOf(webm, 'webm'), { isKey: true, frames: null }, name);
  }
});

test('a clip in fragments has no table that counts', async () => {
  const format = new Mp4OutputFormat({ fastStart: 'fragmented' });
  const clip = await sampleClip({ ...shape, format, codec: 'avc' });
  assert.deepEqual(await startOf(clip, 'mp4'), { isKey: null, frames: null });
});

test('a clip that lost its key frame is known by its first packet', async () => {
  // PyAV 18.1.0 copied bframes.mkv as LoadVideo and SaveVideo do: without packets that have no time to be decoded.
  const clip = await readFile(new URL('made/remuxed-bframes.mp4', folder));
  assert.deepEqual(await startOf(clip, 'mp4'), { isKey: false, frames: 46 });
});

test('a Matroska clip that begins in the middle says so', async () => {
  const clip = await sampleClip({
    ...shape,
    audio: false,
    format: new WebMOutputFormat(),
    codec: 'vp9',
  });
  assert.equal((await startOf(clip, 'webm')).isKey, true);
  // The flags of the first block, behind its track and its time.
  const block = clip.indexOf(
    Buffer.from([0x81, 0, 0, 0x80]),
    clip.indexOf(Buffer.from('1f43b675', 'hex')),
  );
  assert.ok(block > 0);
  clip.writeUInt8(0, block + 3);
  assert.equal((await startOf(clip, 'webm')).isKey, false);
});

test('the first unit of a picture decides', () => {
  const unit = (...bytes: number[]) => Buffer.from([0, 0, 0, bytes.length, ...bytes]);
  const after = (...units: Buffer[]) => Buffer.concat(units);
  const ofAvc = (packet: Buffer) => isKeyPacket('avc1', packet, 4);
  assert.equal(ofAvc(after(unit(9, 0x10), unit(6, 5, 1), unit(0x65, 1))), true);
  assert.equal(ofAvc(after(unit(6, 5, 1), unit(0x41, 1))), false);
  assert.equal(ofAvc(after(unit(6, 6, 1), unit(0x41, 1))), true);
  assert.equal(ofAvc(after(unit(9, 0x10))), null);
  const ofHevc = (packet: Buffer) => isKeyPacket('hvc1', packet, 4);
  assert.equal(ofHevc(after(unit(0x46, 1), unit(0x26, 1))), true);
  assert.equal(ofHevc(after(unit(0x46, 1), unit(0x02, 1))), false);
  assert.equal(isKeyPacket('vp09', after(unit(1)), 4), null);
});
