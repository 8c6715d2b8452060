import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { crc32 } from 'node:zlib';
import {
  BufferSource,
  EncodedPacketSink,
  Input,
  MATROSKA,
  MkvOutputFormat,
  MovOutputFormat,
  MP4,
  Mp4OutputFormat,
  type OutputFormat,
  QTFF,
  type VideoCodec,
  WEBM,
  WebMOutputFormat,
} from 'mediabunny';
import sharp from 'sharp';
import { sampleClip, samplePng } from '../../../test/support/media-samples.ts';
import { withText } from '../../emulator/png-text.ts';
import { editedSource } from '../../pipeline/upload/edited-source.ts';
import { sniffBuffer } from '../sniff.ts';
import { findEdits, scan } from './find-edits.ts';
import { pngFrames } from './png.ts';

const { signal } = new AbortController();
const silent = { keepsMetadata: false, colour: null };
const graph = { 1: { class_type: 'LoadImage', inputs: { image: 'the secret.png' } } };
const secret = JSON.stringify(graph);

function readerOf(bytes: Buffer) {
  return {
    size: bytes.length,
    read: async (start: number, end: number) => bytes.subarray(start, end),
  };
}

/** The file without what is said of it, read whole and in parts. */
async function stripped(bytes: Buffer): Promise<Buffer> {
  const format = await sniffBuffer(bytes.subarray(0, 4_100));
  assert.ok(format);
  const edits = await findEdits(scan(readerOf(bytes), signal), format, silent);
  const open = async (range: { start: number; end: number } | null) =>
    Readable.from([range ? bytes.subarray(range.start, range.end + 1) : bytes]);
  const source = editedSource({ size: bytes.length, open }, edits);
  const read = async (range: { start: number; end: number } | null) =>
    Buffer.concat(await (await source.open(range, signal)).toArray());
  const whole = await read(null);
  assert.equal(whole.length, source.size);
  for (const part of [0.1, 0.37, 0.8]) {
    const start = Math.floor(source.size * part);
    const end = Math.min(source.size - 1, start + Math.floor(source.size / 3));
    assert.ok((await read({ start, end })).equals(whole.subarray(start, end + 1)));
  }
  assert.equal(whole.includes('secret'), false);
  return whole;
}

async function pixelsOf(bytes: Buffer): Promise<Buffer> {
  return await sharp(bytes, { animated: true }).ensureAlpha().raw().toBuffer();
}

/** The bytes of one chunk of a PNG. */
function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const whole = Buffer.alloc(data.length + 12);
  whole.writeUInt32BE(data.length);
  body.copy(whole, 4);
  whole.writeUInt32BE(crc32(body), body.length + 4);
  return whole;
}

test('takes the graph out of a PNG and leaves every other byte', async () => {
  const png = await samplePng({ width: 300, height: 200 });
  assert.ok((await stripped(withText(png, { prompt: graph, workflow: [secret] }))).equals(png));
  const end = png.length - 12;
  const behind = Buffer.concat([
    png.subarray(0, end),
    chunk('comf', Buffer.from(`prompt\0${secret}`)),
    png.subarray(end),
  ]);
  assert.ok((await stripped(behind)).equals(png));
  assert.ok((await stripped(png)).equals(png));
});

test('keeps the colours of a PNG and how it is turned', async () => {
  const png = await sharp(await samplePng({ width: 40, height: 20 }))
    .withIccProfile('p3')
    .withExif({ IFD0: { Model: secret } })
    .withMetadata({ orientation: 6 })
    .png()
    .toBuffer();
  const plain = await stripped(png);
  const [before, after] = [await sharp(png).metadata(), await sharp(plain).metadata()];
  assert.equal(after.orientation, 6);
  assert.ok(after.icc?.equals(before.icc ?? Buffer.alloc(0)));
  assert.ok((await pixelsOf(plain)).equals(await pixelsOf(png)));
});

test('takes EXIF, XMP and comments out of a JPEG and a WebP', async () => {
  const picture = sharp(await samplePng({ width: 90, height: 60 }));
  for (const format of ['jpeg', 'webp'] as const) {
    for (const orientation of [1, 8]) {
      const bytes = await picture
        .clone()
        .withIccProfile('p3')
        .withExif({ IFD0: { Model: `prompt:${secret}`, Make: `workflow:${secret}` } })
        .withMetadata({ orientation })
        .withXmp(`<x:xmpmeta xmlns:x="adobe:ns:meta/">${secret}</x:xmpmeta>`)
        .toFormat(format)
        .toBuffer();
      assert.ok(bytes.includes('secret'));
      const plain = await stripped(bytes);
      const metadata = await sharp(plain).metadata();
      assert.equal(metadata.orientation ?? 1, orientation);
      assert.ok(metadata.icc);
      assert.equal(metadata.xmp, undefined);
      assert.ok((await pixelsOf(plain)).equals(await pixelsOf(bytes)), format);
    }
  }
  const jpeg = await picture.clone().jpeg().toBuffer();
  const comment = Buffer.from(`\xff\xfe\0\0${secret}`, 'latin1');
  comment.writeUInt16BE(secret.length + 2, 2);
  const commented = Buffer.concat([jpeg.subarray(0, 2), comment, jpeg.subarray(2)]);
  assert.ok((await stripped(commented)).equals(jpeg));
});

test('blanks EXIF and XMP of a TIFF and an AVIF where they are', async () => {
  const picture = sharp(await samplePng({ width: 90, height: 60 }));
  for (const format of ['tiff', 'avif'] as const) {
    const bytes = await picture
      .clone()
      .withIccProfile('p3')
      .withExif({ IFD0: { Model: `prompt:${secret}`, ImageDescription: secret } })
      .withXmp(`<x:xmpmeta xmlns:x="adobe:ns:meta/">${secret}</x:xmpmeta>`)
      .toFormat(format)
      .toBuffer();
    assert.ok(bytes.includes('secret'), format);
    const plain = await stripped(bytes);
    assert.equal(plain.length, bytes.length);
    assert.ok((await sharp(plain).metadata()).icc);
    assert.ok((await pixelsOf(plain)).equals(await pixelsOf(bytes)), format);
  }
});

test('keeps the frames of an animation', async () => {
  const frames = await Promise.all(
    [1, 2, 3].map((seed) => samplePng({ width: 60, height: 40, seed })),
  );
  const animation = sharp(frames, { join: { animated: true } });
  const webp = await animation
    .clone()
    .withExif({ IFD0: { Model: secret } })
    .webp({ lossless: true })
    .toBuffer();
  const gif = await animation.clone().gif().toBuffer();
  const trailer = gif.length - 1;
  const comment = Buffer.concat([
    Buffer.from([0x21, 0xfe, secret.length]),
    Buffer.from(secret),
    Buffer.from([0]),
  ]);
  const commented = Buffer.concat([gif.subarray(0, trailer), comment, gif.subarray(trailer)]);
  assert.ok((await stripped(commented)).equals(gif));
  const plain = await stripped(webp);
  assert.equal((await sharp(plain).metadata()).pages, 3);
  assert.ok((await pixelsOf(plain)).equals(await pixelsOf(webp)));
});

test('tells an animated PNG from another, and how long its frames stay', async () => {
  const png = await samplePng({ width: 10, height: 10 });
  const control = chunk('acTL', Buffer.from('0000000200000000', 'hex'));
  const frame = (delay: string) =>
    chunk('fcTL', Buffer.from(`${'0'.repeat(40)}${delay}0000`, 'hex'));
  const [head, body] = [png.subarray(0, 33), png.subarray(33)];
  // A quarter of a second, and fifty hundredths.
  const frames = [frame('00010004'), frame('00320000')];
  const animated = Buffer.concat([head, control, ...frames, body]);
  assert.equal(await pngFrames(scan(readerOf(png), signal)), null);
  const found = await pngFrames(scan(readerOf(animated), signal));
  assert.deepEqual(found, { count: 2, delaysMs: [250, 500] });
});

async function packetsOf(bytes: Buffer): Promise<Buffer[]> {
  const input = new Input({
    formats: [MP4, QTFF, WEBM, MATROSKA],
    source: new BufferSource(bytes),
  });
  const packets: Buffer[] = [];
  for (const track of await input.getTracks()) {
    for await (const packet of new EncodedPacketSink(track).packets()) {
      packets.push(Buffer.from(packet.data));
    }
  }
  return packets;
}

const videos: [name: string, format: OutputFormat, codec: VideoCodec, key: string][] = [
  ['MP4, its tables first', new Mp4OutputFormat({ fastStart: 'in-memory' }), 'avc', '©cmt'],
  ['MP4, its tables last', new Mp4OutputFormat({ fastStart: false }), 'avc', '©cmt'],
  ['MP4 in fragments', new Mp4OutputFormat({ fastStart: 'fragmented' }), 'avc', '©cmt'],
  ['MOV', new MovOutputFormat(), 'avc', '©cmt'],
  ['WebM', new WebMOutputFormat(), 'vp8', 'PROMPT'],
  ['MKV', new MkvOutputFormat(), 'avc', 'PROMPT'],
];
for (const [name, format, codec, key] of videos) {
  test(`blanks the tags of ${name} where they are`, async () => {
    const tags = { comment: secret, raw: { [key]: secret } };
    const shape = { width: 64, height: 48, frames: 5, fps: 10, audio: codec === 'avc' };
    const clip = await sampleClip({ ...shape, format, codec, tags });
    assert.ok(clip.includes('secret'), 'it has something to hide');
    const plain = await stripped(clip);
    assert.equal(plain.length, clip.length);
    const packets = await packetsOf(plain);
    assert.ok(packets.length >= 5);
    assert.deepEqual(packets, await packetsOf(clip));
  });
}

test('says that it cannot follow a file that was cut off', async () => {
  const png = await samplePng({ width: 30, height: 20 });
  await assert.rejects(stripped(png.subarray(0, png.length - 20)), /not whole/);
});

test('ends on any bytes behind any signature', async () => {
  const samples = [
    await samplePng({ width: 30, height: 20 }),
    await sharp(await samplePng({ width: 30, height: 20 }))
      .jpeg()
      .toBuffer(),
    await sharp(await samplePng({ width: 30, height: 20 }))
      .webp()
      .toBuffer(),
    await sharp(await samplePng({ width: 30, height: 20 }))
      .gif()
      .toBuffer(),
    await sampleClip({
      width: 32,
      height: 32,
      frames: 2,
      fps: 10,
      format: new Mp4OutputFormat(),
      codec: 'avc',
    }),
  ];
  for (const sample of samples) {
    const format = await sniffBuffer(sample.subarray(0, 4_100));
    for (let i = 0; i < 200 && format; i += 1) {
      const bytes = Buffer.from(sample);
      for (let j = 0; j < 6; j += 1) {
        bytes[Math.floor(Math.random() * bytes.length)] = Math.floor(Math.random() * 256);
      }
      const edits = await findEdits(scan(readerOf(bytes), signal), format, silent).catch(() => []);
      let at = 0;
      for (const { start, end } of edits) {
        assert.ok(start >= at && end >= start && end <= bytes.length, `${format} ${start} ${end}`);
        at = end;
      }
    }
  }
});
