import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { crc32, deflateSync } from 'node:zlib';
import {
  MkvOutputFormat,
  MovOutputFormat,
  Mp4OutputFormat,
  type OutputFormat,
  type VideoCodec,
  WebMOutputFormat,
} from 'mediabunny';
import sharp, { type Sharp } from 'sharp';
import { whileWatchingTheLoop } from '../../test/support/event-loop.ts';
import {
  type ContainedClipShape,
  sampleClip,
  sampleJpeg,
  sampleMp4,
  samplePng,
} from '../../test/support/media-samples.ts';
import { type MediaInfo, pictureOf, type VideoInfo } from '../core/media.ts';
import { generousLimits } from '../core/media-limits.ts';
import { segmentEnd } from './matroska.ts';
import { MediaProbe } from './probe.ts';
import type { RangeReader } from './range-reader.ts';

const probe = new MediaProbe();
const { signal } = new AbortController();
let folder = '';

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tmlsr-probe-'));
});

after(async () => {
  await rm(folder, { recursive: true });
});

async function probeBytes(
  bytes: Buffer,
  { name = 'source', by = probe }: { name?: string; by?: MediaProbe } = {},
): Promise<MediaInfo> {
  const path = join(folder, name);
  await writeFile(path, bytes);
  return await by.probe(path, signal);
}

async function probeVideo(bytes: Buffer): Promise<VideoInfo> {
  const info = await probeBytes(bytes);
  assert.equal(info.kind, 'video');
  return info as VideoInfo;
}

/** Noise, which no codec makes small: what is cut off was of use. */
function noise(width: number, height: number): Sharp {
  const raw = { width, height, channels: 3 } as const;
  return sharp(randomBytes(width * height * 3), { raw });
}

const images: Record<string, (image: Sharp) => Sharp> = {
  png: (image) => image.png(),
  jpg: (image) => image.jpeg(),
  webp: (image) => image.webp(),
  gif: (image) => image.gif(),
  tiff: (image) => image.tiff(),
  avif: (image) => image.avif({ effort: 0 }),
};

async function encode(format: string, width: number, height: number): Promise<Buffer> {
  return await (images[format] as (image: Sharp) => Sharp)(noise(width, height)).toBuffer();
}

const clips: [format: string, OutputFormat, VideoCodec, ContainedClipShape['audioCodec']?][] = [
  ['mp4', new Mp4OutputFormat(), 'avc', 'aac'],
  ['mp4', new Mp4OutputFormat({ fastStart: false }), 'avc'],
  ['mp4', new Mp4OutputFormat({ fastStart: 'fragmented' }), 'avc', 'aac'],
  ['mov', new MovOutputFormat(), 'avc', 'aac'],
  ['webm', new WebMOutputFormat(), 'vp8'],
  ['webm', new WebMOutputFormat(), 'vp9', 'opus'],
  ['webm', new WebMOutputFormat({ appendOnly: true }), 'vp9'],
  ['mkv', new MkvOutputFormat(), 'avc', 'aac'],
];

function clip(shape: Partial<ContainedClipShape> = {}): Promise<Buffer> {
  const format = new Mp4OutputFormat();
  return sampleClip({ width: 64, height: 48, frames: 10, fps: 25, format, codec: 'avc', ...shape });
}

/** Measures how long the event loop was kept from everything else, and the memory it took. */
async function watched<T>(work: () => Promise<T>): Promise<{ heldMs: number; grownBytes: number }> {
  const rss = process.memoryUsage.rss();
  let grownBytes = 0;
  const { heldMs } = await whileWatchingTheLoop(work, () => {
    grownBytes = Math.max(grownBytes, process.memoryUsage.rss() - rss);
  });
  return { heldMs, grownBytes };
}

/** Bytes in memory that pretend to be far away. */
function remote(bytes: Buffer, size = bytes.length): RangeReader & { readBytes: number } {
  return {
    size,
    readBytes: 0,
    async read(start, end) {
      this.readBytes += end - start;
      const part = bytes.subarray(start, end);
      return Buffer.concat([part, Buffer.alloc(end - start - part.length)]);
    },
  };
}

test('tells the format and size of every kind of image', async () => {
  for (const format of Object.keys(images)) {
    const info = await probeBytes(await encode(format, 90, 70));
    assert.deepEqual(info, { kind: 'image', format, width: 90, height: 70 });
  }
});

test('tells size, length, rate and codec of every kind of video', async () => {
  for (const [format, output, codec, audioCodec] of clips) {
    const audio = audioCodec !== undefined;
    const bytes = await clip({ format: output, codec, audio, ...(audio ? { audioCodec } : {}) });
    assert.partialDeepStrictEqual(await probeBytes(bytes), {
      kind: 'video',
      format,
      width: 64,
      height: 48,
      durationSeconds: 0.4,
      fps: 25,
      frames: 10,
      codec,
      hasAudio: audio,
    });
  }
});

test('names the rate that was meant, where the container rounds times', async () => {
  const rates: [fps: number, frames: number, named: number][] = [
    [24_000 / 1001, 60, 23.976],
    [24, 48, 24],
    [25, 130, 25],
    [30_000 / 1001, 150, 29.97],
    [30, 60, 30],
    [60, 200, 60],
    [12.5, 30, 12.5],
    [1, 1, 1],
  ];
  for (const format of [new Mp4OutputFormat(), new WebMOutputFormat()]) {
    const codec = format instanceof WebMOutputFormat ? 'vp8' : 'avc';
    for (const [fps, frames, named] of rates) {
      const info = await probeVideo(await clip({ format, codec, fps, frames }));
      assert.deepEqual([info.fps, info.frames], [named, frames], `${fps} in ${info.format}`);
      assert.ok(Math.abs(info.durationSeconds - frames / fps) < 0.002);
    }
  }
});

test('counts the frames of a clip that begins late', async () => {
  const info = await probeVideo(await clip({ frames: 50, startsAt: 3 }));
  assert.deepEqual([info.frames, info.fps, info.durationSeconds], [50, 25, 2]);
});

test('turns a picture and a clip as a viewer does', async () => {
  for (const [orientation, size] of [
    [1, [90, 70]],
    [3, [90, 70]],
    [6, [70, 90]],
    [8, [70, 90]],
  ] as const) {
    const bytes = await noise(90, 70).withMetadata({ orientation }).jpeg().toBuffer();
    const info = pictureOf(await probeBytes(bytes));
    assert.deepEqual([info?.width, info?.height], size, `orientation ${orientation}`);
  }
  for (const rotation of [90, 180, 270] as const) {
    for (const format of [new Mp4OutputFormat(), new MovOutputFormat()]) {
      const info = await probeVideo(await clip({ rotation, format }));
      const size = rotation === 180 ? [64, 48] : [48, 64];
      assert.deepEqual([info.width, info.height], size, `${rotation} in ${info.format}`);
    }
  }
});

test('takes an animation for its first frame', async () => {
  const frames = await Promise.all(
    [1, 2, 3].map((seed) => samplePng({ width: 60, height: 40, seed })),
  );
  const animation = sharp(frames, { join: { animated: true } });
  for (const [format, bytes] of [
    ['gif', await animation.clone().gif().toBuffer()],
    ['webp', await animation.clone().webp().toBuffer()],
  ] as const) {
    assert.equal((await sharp(bytes).metadata()).pages, 3);
    assert.deepEqual(await probeBytes(bytes), { kind: 'image', format, width: 60, height: 40 });
  }
});

test('takes a GIF for as large as its screen, of which its frame may be a corner', async () => {
  const screenOf = async (width: number, height: number) => {
    const gif = await sharp(await samplePng({ width: 64, height: 48 }))
      .gif()
      .toBuffer();
    gif.writeUInt16LE(width, 6);
    gif.writeUInt16LE(height, 8);
    return gif;
  };
  const size = { width: 3_000, height: 2_000 };
  const wide = await screenOf(size.width, size.height);
  const seen = { kind: 'image', format: 'gif', ...size, hasAlpha: true };
  assert.deepEqual(await probeBytes(wide), seen);
  const huge = await screenOf(13_000, 13_000);
  await assert.rejects(probeBytes(huge), { code: 'media_too_large' });
  await assert.rejects(probe.probe(remote(huge), signal), { code: 'media_too_large' });
});

test('looks at the bytes and not at the name', async () => {
  const png = await samplePng({ width: 20, height: 10 });
  const info = await probeBytes(png, { name: 'source.mp4' });
  assert.equal(info.format, 'png');
  assert.equal((await probeBytes(await clip(), { name: 'source.png' })).format, 'mp4');
});

test('finds an image that was cut off, wherever', async () => {
  for (const format of Object.keys(images)) {
    const bytes = await encode(format, 333, 257);
    const cuts = [bytes.length >> 1, bytes.length - 1000, bytes.length - 40, 60];
    // In GIF, JPEG and PNG something comes after the last pixel.
    if (!['gif', 'jpg', 'png'].includes(format)) cuts.push(bytes.length - 2);
    for (const cut of cuts) {
      const what = `${format} of ${bytes.length} cut at ${cut}`;
      await assert.rejects(probeBytes(bytes.subarray(0, cut)), { code: 'media_corrupt' }, what);
    }
  }
});

test('finds a video that was cut off', async () => {
  for (const [format, output, codec] of clips) {
    const bytes = await clip({ format: output, codec, frames: 60, fps: 25 });
    for (const part of [0.2, 0.5, 0.9]) {
      const isLive = output instanceof WebMOutputFormat && segmentEnd(bytes) === null;
      const outcome = await probeBytes(bytes.subarray(0, bytes.length * part)).catch((e) => e.code);
      if (!isLive) assert.equal(outcome, 'media_corrupt', `${format} cut to ${part}`);
      // Of a recording that nobody finished nobody can tell; what there is of it is a clip.
      else assert.ok(outcome === 'media_corrupt' || outcome.frames < 60);
    }
  }
});

test('finds an image whose inside is damaged', async () => {
  const bytes = await encode('png', 100, 100);
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 0x55;
  await assert.rejects(probeBytes(bytes), { code: 'media_corrupt' });
});

function pngOf(width: number, height: number, data: Buffer): Buffer {
  const chunk = (type: string, content: Buffer): Buffer => {
    const body = Buffer.concat([Buffer.from(type), content]);
    const framed = Buffer.alloc(body.length + 8);
    framed.writeUInt32BE(content.length);
    body.copy(framed, 4);
    framed.writeUInt32BE(crc32(body), body.length + 4);
    return framed;
  };
  const header = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0]);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  const signature = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');
  const chunks = [chunk('IHDR', header), chunk('IDAT', data), chunk('IEND', Buffer.alloc(0))];
  return Buffer.concat([signature, ...chunks]);
}

test('refuses a decompression bomb by its header', async () => {
  const bomb = pngOf(30_000, 30_000, deflateSync(Buffer.alloc(1_000_000)));
  const before = process.cpuUsage();
  await assert.rejects(probeBytes(bomb), { code: 'media_too_large' });
  await assert.rejects(probe.probe(remote(bomb), signal), { code: 'media_too_large' });
  const { user, system } = process.cpuUsage(before);
  assert.ok(user + system < 500_000, `it took ${user + system} microseconds`);
});

test('refuses a picture that is a single endless row', async () => {
  const row = pngOf(5_000_000, 1, deflateSync(Buffer.alloc(15_000_001)));
  const refusal = { code: 'media_too_large', message: /5000000x1 pixels; 1000000 a side/ };
  await assert.rejects(probeBytes(row), refusal);
  await assert.rejects(probe.probe(remote(row), signal), refusal);
});

test('holds an image to the cap on its pixels', async () => {
  const by = new MediaProbe({ limits: { ...generousLimits, maxImagePixels: 5_000 } });
  for (const format of Object.keys(images)) {
    await assert.rejects(probeBytes(await encode(format, 100, 51), { by }), {
      code: 'media_too_large',
      message: 'The image has more than 5000 pixels',
    });
    const info = await probeBytes(await encode(format, 100, 50), { by });
    assert.equal(pictureOf(info)?.height, 50);
  }
});

test('takes nothing that is neither image nor video', async () => {
  const others = [
    Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"/>'),
    Buffer.from('%PDF-1.7\n%âãÏÓ\n'),
    Buffer.from('<!doctype html><title>Not found</title>'),
    Buffer.from('just text'),
    Buffer.from('PK\x03\x04\x14\0\0\0\x08\0'),
    Buffer.alloc(0),
    randomBytes(10_000),
  ];
  for (const bytes of others) {
    await assert.rejects(probeBytes(bytes), { code: 'media_unsupported' });
    await assert.rejects(probe.probe(remote(bytes), signal), { code: 'media_unsupported' });
  }
});

test('takes a container without a picture for a sound, or not at all', async () => {
  const matroska = await clip({ frames: 0, audio: true, format: new MkvOutputFormat() });
  await assert.rejects(probeBytes(matroska), { code: 'media_unsupported', message: /video track/ });
  const info = await probeBytes(await clip({ frames: 0, audio: true }));
  assert.deepEqual([info.kind, info.format], ['audio', 'm4a']);
});

test('keeps the loaders of other formats shut', async () => {
  const others = ['<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', '%PDF-1.7\n'];
  for (const text of others) await assert.rejects(sharp(Buffer.from(text)).metadata());
  // A signature that fits does not open them either.
  const disguised = Buffer.concat([
    Buffer.from('\xff\xd8\xff', 'latin1'),
    Buffer.from(others[0] ?? ''),
  ]);
  await assert.rejects(probeBytes(disguised), { code: 'media_corrupt' });
});

function box(type: string, content: Buffer): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32BE(content.length + 8);
  head.write(type, 4, 'latin1');
  return Buffer.concat([head, content]);
}

/** Puts a box into the `moov` of a clip whose `moov` comes last. */
function withBox(mp4: Buffer, inner: Buffer): Buffer {
  const moov = mp4.lastIndexOf('moov') - 4;
  const forged = Buffer.concat([mp4.subarray(0, moov + 8), inner, mp4.subarray(moov + 8)]);
  forged.writeUInt32BE(forged.readUInt32BE(moov) + inner.length, moov);
  return forged;
}

/** Claims as many entries as a count can, where there are next to none. */
function withCount(mp4: Buffer, type: string, offset: number): Buffer {
  const forged = Buffer.from(mp4);
  forged.writeUInt32BE(0xffff_ffff, forged.lastIndexOf(type) + 4 + offset);
  return forged;
}

test('survives boxes that were forged to stall it', async () => {
  const mp4 = await clip({ frames: 30, format: new Mp4OutputFormat({ fastStart: false }) });
  // Version 1 counts key ids: four thousand million of them, in 5.6 KB (Vanilagy/mediabunny#476).
  const pssh = Buffer.alloc(5_600);
  pssh[0] = 1;
  pssh.writeUInt32BE(0xffff_ffff, 20);
  const stz2 = Buffer.alloc(16);
  stz2.writeUInt32BE(4, 4);
  stz2.writeUInt32BE(0xffff_ffff, 8);
  const forgeries: Record<string, Buffer> = {
    pssh: withBox(mp4, box('pssh', pssh)),
    stsz: withCount(mp4, 'stsz', 8),
    stsc: withCount(mp4, 'stsc', 4),
    stco: withCount(mp4, 'stco', 4),
    stts: withCount(mp4, 'stts', 4),
    'stts delta': withCount(mp4, 'stts', 12),
    stss: withCount(mp4, 'stss', 4),
    'endless moov': withCount(mp4, 'moov', -8 + 4 - 4),
    'moov in moov': withBox(mp4, box('moov', box('moov', box('trak', Buffer.alloc(8))))),
  };
  for (const [name, bytes] of Object.entries(forgeries)) {
    const startedAt = performance.now();
    const { heldMs, grownBytes } = await watched(async () => {
      const outcome = await probeBytes(bytes).catch((error) => error);
      // What a forgery does not break may be taken, if what is told of it is sane.
      if (outcome instanceof Error)
        assert.equal((outcome as { code?: string }).code, 'media_corrupt', name);
      else
        assert.ok(
          (outcome as VideoInfo).durationSeconds < 5,
          `${name}: ${JSON.stringify(outcome)}`,
        );
      if (name === 'pssh') assert.ok(outcome instanceof Error);
    });
    assert.ok(performance.now() - startedAt < 30_000, `${name} took too long`);
    assert.ok(heldMs < 100, `${name} held the event loop for ${heldMs} ms`);
    assert.ok(grownBytes < 400 * 1024 * 1024, `${name} took ${grownBytes} bytes`);
  }
});

test('survives a clip with any byte changed', async () => {
  const by = new MediaProbe({ videoWorkDeadlineMs: 3_000 });
  for (const format of [new Mp4OutputFormat(), new WebMOutputFormat()]) {
    const codec = format instanceof WebMOutputFormat ? 'vp8' : 'avc';
    const bytes = await clip({ format, codec });
    for (let i = 0; i < 8; i += 1) {
      const forged = Buffer.from(bytes);
      for (let j = 0; j < 8; j += 1) {
        forged[Math.floor(Math.random() * 900)] = Math.floor(Math.random() * 256);
      }
      const outcome = await probeBytes(forged, { by }).catch((error) => error);
      if (outcome instanceof Error)
        assert.match(String((outcome as { code?: string }).code), /^media_/);
    }
  }
});

test('ends a thread that is not done by its deadline', async () => {
  const by = new MediaProbe({ videoDeadlineMs: 1 });
  await assert.rejects(probeBytes(await clip(), { by }), { code: 'media_corrupt' });
});

test('reads of something remote no more than its header', async () => {
  for (const format of Object.keys(images)) {
    const bytes = await encode(format, 900, 700);
    const source = remote(bytes);
    const info = await probe.probe(source, signal);
    // Of a GIF it takes every pixel to know.
    const hasAlpha = format === 'gif' ? { hasAlpha: true } : {};
    assert.deepEqual(info, { kind: 'image', format, width: 900, height: 700, ...hasAlpha });
  }
  const png = await encode('png', 2_000, 1_500);
  const far = remote(png);
  await probe.probe(far, signal);
  assert.ok(far.readBytes < 600 * 1024, `${far.readBytes} of ${png.length} bytes`);

  for (const [format, output, codec] of clips) {
    const info = await probe.probe(remote(await clip({ format: output, codec })), signal);
    assert.equal(info.format, format);
    assert.equal((info as VideoInfo).frames, 10);
  }
});

test('stops asking a remote source that has no end', async () => {
  const live = await clip({ format: new WebMOutputFormat({ appendOnly: true }), codec: 'vp8' });
  // After its packets comes nothing, for a thousand gigabytes.
  const source = remote(live, 1e12);
  const by = new MediaProbe({ videoWorkDeadlineMs: 1_500 });
  await assert.rejects(by.probe(source, signal), { code: 'media_corrupt' });
  assert.ok(source.readBytes <= 64 * 1024 * 1024 + 4_100, `${source.readBytes} bytes were read`);
});

test('stops reading a remote recording that goes on and on', async () => {
  const format = new WebMOutputFormat({ appendOnly: true });
  const live = await clip({ format, codec: 'vp8', width: 640, height: 480 });
  const head = live.subarray(0, live.indexOf(Buffer.from('1f43b675', 'hex')));
  const clusters = live.subarray(head.length);
  const period = Buffer.concat(Array.from({ length: 50 }, () => clusters));
  let readBytes = 0;
  const source: RangeReader = {
    size: head.length + 1_000 * period.length,
    read: async (start, end) => {
      readBytes += end - start;
      const skipped = Math.max(0, start - head.length) % period.length;
      const times = Math.ceil((end - start) / period.length) + 1;
      const rest = Buffer.concat(Array.from({ length: times }, () => period)).subarray(skipped);
      return Buffer.concat([head.subarray(start), rest]).subarray(0, end - start);
    },
  };
  await assert.rejects(probe.probe(source, signal), { code: 'media_corrupt' });
  assert.ok(readBytes > 8 * 1024 * 1024 && readBytes <= 64 * 1024 * 1024, `${readBytes} bytes`);
});

test('passes on that a remote source failed', async () => {
  const bytes = await clip();
  const source: RangeReader = {
    size: bytes.length,
    read: async (start, end) => {
      if (start > 0) throw new Error('The backend is gone');
      return bytes.subarray(start, Math.min(end, 200));
    },
  };
  await assert.rejects(probe.probe(source, signal), { code: 'media_corrupt' });
});

test("stops with the caller's reason", async () => {
  const reason = new Error('The task was canceled');
  await writeFile(join(folder, 'image'), await encode('png', 3_000, 3_000));
  await writeFile(join(folder, 'video'), await clip());
  for (const name of ['image', 'video']) {
    const caller = new AbortController();
    const probing = probe.probe(join(folder, name), caller.signal);
    setTimeout(() => caller.abort(reason), 1);
    await assert.rejects(probing, reason, name);
    await assert.rejects(probe.probe(join(folder, name), AbortSignal.abort(reason)), reason, name);
  }
  const caller = new AbortController();
  const stalled: RangeReader = { size: 1_000, read: () => new Promise(() => {}) };
  setTimeout(() => caller.abort(reason), 20);
  await assert.rejects(probe.probe(stalled, caller.signal), reason);
});

test('leaves no thread, file or listener behind, and says nothing', async () => {
  const by = new MediaProbe({ idleThreadMs: 20 });
  const written: unknown[] = [];
  const onWarning = (warning: Error): void => {
    written.push(warning);
  };
  process.on('warning', onWarning);
  const whole = await sampleMp4({ width: 64, height: 48, frames: 5, fps: 25, audio: true });
  const open = async () => (await readdir('/proc/self/fd').catch(() => [])).length;
  const threads = () => process.getActiveResourcesInfo().filter((name) => name === 'MessagePort');
  const idle = () => new Promise((resolve) => setTimeout(resolve, 200));
  await probeBytes(whole, { by });
  await idle();
  const [fileBefore, threadsBefore] = [await open(), threads().length];
  for (let i = 0; i < 12; i += 1) {
    await probeBytes(whole, { by });
    await probeBytes(whole.subarray(0, whole.length / 2), { by }).catch(() => {});
    await probeBytes(await sampleJpeg({ width: 40, height: 30 }), { by });
  }
  await Promise.all(Array.from({ length: 12 }, () => by.probe(join(folder, 'video'), signal)));
  globalThis.gc?.();
  await idle();
  process.off('warning', onWarning);
  assert.deepEqual(written, []);
  assert.equal(threads().length, threadsBefore);
  assert.ok((await open()) <= fileBefore + 2, `${fileBefore} files, then ${await open()}`);
});

test('leaves the event loop to others while it reads a large image', async () => {
  const bytes = await noise(1_000, 750).resize(7_300, 5_480).jpeg().toBuffer();
  const { heldMs, grownBytes } = await watched(() => probeBytes(bytes));
  assert.ok(heldMs < 100, `the event loop was held for ${heldMs} ms`);
  assert.ok(grownBytes < 100 * 1024 * 1024, `it took ${grownBytes} bytes`);
});

test('holds an animation to the cap on its frames, and reads no more of it than it must', async () => {
  const head = Buffer.from('47494638396101000100800000ff0000000000', 'hex');
  const frame = Buffer.from('21f90400000000002c0000000001000100000202440100', 'hex');
  const gif = (frames: number) =>
    Buffer.concat([head, ...Array.from({ length: frames }, () => frame), Buffer.from([0x3b])]);
  assert.equal(pictureOf(await probeBytes(gif(1_000)))?.width, 1);
  const startedAt = performance.now();
  const { heldMs, grownBytes } = await watched(() =>
    assert.rejects(probeBytes(gif(100_000)), {
      code: 'media_too_large',
      message: 'The animation has 100000 frames; 36000 are the most',
    }),
  );
  assert.ok(performance.now() - startedAt < 30_000);
  assert.ok(heldMs < 100, `the event loop was held for ${heldMs} ms`);
  assert.ok(grownBytes < 100 * 1024 * 1024, `it took ${grownBytes} bytes`);
});

test('holds a video to the caps on its frames, its seconds and its size', async () => {
  const bytes = await clip();
  const { width, height, frames, durationSeconds } = await probeVideo(bytes);
  const exact = { maxPixels: width * height, maxFrames: frames ?? 0, maxSeconds: durationSeconds };
  const path = join(folder, 'clip');
  await writeFile(path, bytes);
  await probe.probe(path, signal, exact);
  for (const [name, most] of Object.entries(exact)) {
    const own = { ...exact, [name]: most * 0.9 };
    await assert.rejects(probe.probe(path, signal, own), { code: 'media_too_large' }, name);
  }
});
