import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { BufferSource, EncodedPacketSink, Input, MATROSKA, MP4, WEBM } from 'mediabunny';
import { editedSource } from '../../pipeline/upload/edited-source.ts';
import { sniffBuffer } from '../sniff.ts';
import { findEdits, scan } from './find-edits.ts';

/** Written by PyAV 18.1.0 as ComfyUI's nodes do. */
const folder = new URL('../../../test/media/made/', import.meta.url);
const { signal } = new AbortController();
const colour = {
  ifMatrixIsRead: { primaries: 1, transfer: 1, matrix: 6 },
  ifMatrixIsIgnored: { primaries: 9, transfer: 16, matrix: 1 },
};

async function tagged(bytes: Buffer, keepsMetadata: boolean): Promise<Buffer> {
  const format = await sniffBuffer(bytes.subarray(0, 4_100));
  assert.ok(format);
  const reader = {
    size: bytes.length,
    read: async (from: number, to: number) => bytes.subarray(from, to),
  };
  const edits = await findEdits(scan(reader, signal), format, { keepsMetadata, colour });
  const open = async (range: { start: number; end: number } | null) =>
    Readable.from([range ? bytes.subarray(range.start, range.end + 1) : bytes]);
  const source = editedSource({ size: bytes.length, open }, edits);
  return Buffer.concat(await (await source.open(null, signal)).toArray());
}

async function read(bytes: Buffer) {
  const input = new Input({ formats: [MP4, WEBM, MATROSKA], source: new BufferSource(bytes) });
  const video = await input.getPrimaryVideoTrack();
  assert.ok(video);
  const packets: Buffer[] = [];
  for (const track of await input.getTracks()) {
    for await (const { data } of new EncodedPacketSink(track).packets()) {
      packets.push(Buffer.from(data));
    }
  }
  const { primaries, transfer, matrix } = await video.getColorSpace();
  return { packets, colour: [primaries, transfer, matrix] };
}

const bt601 = ['bt709', 'bt709', 'smpte170m'];

for (const name of [
  'h264-720-tables-last.mp4',
  'h264-720.mp4',
  'vp9-720.webm',
  'av1-10-bit-720.webm',
]) {
  test(`tells the colours of ${name} and moves no sample`, async () => {
    const bytes = await readFile(new URL(name, folder));
    const before = await read(bytes);
    assert.equal(before.colour[2] ?? null, null, 'it does not tell them before');
    for (const keepsMetadata of [false, true]) {
      const out = await tagged(bytes, keepsMetadata);
      const after = await read(out);
      assert.deepEqual(after.colour, bt601);
      assert.deepEqual(after.packets, before.packets);
      assert.equal(out.includes('the secret'), keepsMetadata);
      // Only tables that end the file may grow.
      const grows = keepsMetadata && name === 'h264-720-tables-last.mp4';
      assert.equal(out.length, bytes.length + (grows ? 19 : 0));
      assert.deepEqual(await tagged(out, keepsMetadata), out, 'what tells them already is left');
    }
  });
}

test('believes a writer of before that the source was read by BT.601', async () => {
  const bytes = await readFile(new URL('h264-720-tables-last.mp4', folder));
  const name = bytes.indexOf('Lavf62.12.102');
  bytes.write('Lavf61.7.100\0', name, 'latin1');
  const { colour } = await read(await tagged(bytes, false));
  assert.deepEqual(colour, ['bt2020', 'pq', 'bt709']);
});

test('leaves a clip as it is where there is no room', async () => {
  const bytes = await readFile(new URL('h264-720.mp4', folder));
  // Neither bit rates nor an empty box.
  const without = Buffer.from(
    bytes.toString('latin1').replace('btrt', 'btrx').replace('free', 'frex'),
    'latin1',
  );
  assert.ok((await tagged(without, true)).equals(without));
  assert.deepEqual((await read(await tagged(without, false))).colour, bt601);
});

test('tells the colours of HEVC in a tag of its own', async () => {
  const bytes = await readFile(new URL('h264-720.mp4', folder));
  // Of the codec, its name alone is looked at.
  const hevc = Buffer.from(
    bytes.toString('latin1').replace('avc1', 'hvc1').replace('avcC', 'hvcC'),
    'latin1',
  );
  // A box of 19 bytes: primaries 1, transfer 1, matrix 6, and not in the full range (ISO 14496-12 §12.1.5).
  const tag = Buffer.from('00000013636f6c726e636c7800010001000600', 'hex');
  assert.ok(!hevc.includes(tag));
  assert.ok((await tagged(hevc, false)).includes(tag));
});
