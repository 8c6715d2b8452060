/** Each expectation was seen on ComfyUI 0.3.64 and 0.33.0, with these files. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ALL_FORMATS, EncodedPacketSink, FilePathSource, Input } from 'mediabunny';
import { copyToMp4, decodeClip, probeClip } from '../clip.ts';

const caseFile = (name: string) =>
  fileURLToPath(new URL(`../../../test/media/cases/${name}`, import.meta.url));

let scratch: string;
before(async () => {
  scratch = await mkdtemp(path.join(os.tmpdir(), 'tmlsr-clips-'));
});
after(() => rm(scratch, { recursive: true }));

async function first(name: string, isTurned = true) {
  for await (const frame of decodeClip(caseFile(name), { track: 'first', isTurned })) return frame;
  throw new Error('no frame');
}

test('the first track counts, and its stored size', async () => {
  const { width, height } = await first('twov.mkv');
  assert.deepEqual([width, height], [160, 90]);
  const { fps, frames } = await probeClip(caseFile('twov.mkv'), 'first');
  assert.deepEqual([fps, frames], [30, 30]);
  const anamorphic = await first('sar.mp4');
  assert.deepEqual([anamorphic.width, anamorphic.height], [64, 48]);
});

test('a clip is turned by newer versions only', async () => {
  const [turned, lying] = [await first('rot90.mp4'), await first('rot90.mp4', false)];
  assert.deepEqual([turned.width, turned.height], [48, 64]);
  assert.deepEqual([lying.width, lying.height], [64, 48]);
});

test('frames that an edit list cuts off are not there', async () => {
  const { fps, frames } = await probeClip(caseFile('cut.mp4'), 'first');
  assert.deepEqual([fps, frames], [10, 42]);
  const decoded = decodeClip(caseFile('cut.mp4'), { track: 'first', isTurned: true });
  assert.equal((await Array.fromAsync(decoded)).length, 42);
});

test('colours are those of the matrix that the clip tells, and of BT.601 where it tells none', async () => {
  const skin = async (name: string) => {
    const { width, height, rgb } = await first(name);
    const at = (Math.floor(height * 0.2) * width + Math.floor(width * 0.9)) * 3;
    return [...rgb.subarray(at, at + 3)];
  };
  const isNear = (seen: number[], wanted: number[]) =>
    assert.ok(
      seen.every((value, index) => Math.abs(value - (wanted[index] ?? 0)) <= 4),
      String(seen),
    );
  isNear(await skin('bars709-180.mp4'), [198, 120, 40]);
  isNear(await skin('untagged-hd.mp4'), [191, 116, 44]);
});

test('a Matroska file with B-frames loses its key frame on its way into an MP4', async () => {
  const file = path.join(scratch, 'copied.mp4');
  assert.equal(await copyToMp4(caseFile('bframes.mkv'), file), true);
  using input = new Input({ source: new FilePathSource(file), formats: ALL_FORMATS });
  const track = await input.getPrimaryVideoTrack();
  assert.ok(track);
  assert.equal((await Array.fromAsync(new EncodedPacketSink(track).packets())).length, 45);
  const bytes = await readFile(file);
  assert.equal(bytes.includes('stss'), false);
  assert.equal(await copyToMp4(caseFile('sar.mp4'), path.join(scratch, 'other.mp4')), false);
});
