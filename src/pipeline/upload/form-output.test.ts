import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { crc32 } from 'node:zlib';
import { Mp4OutputFormat } from 'mediabunny';
import sharp from 'sharp';
import { sampleClip, samplePng } from '../../../test/support/media-samples.ts';
import { type Delivery, deliveryAsUsual } from '../../core/delivery.ts';
import type { ClipPlan } from '../../core/made-clip.ts';
import { pictureOf } from '../../core/media.ts';
import type { Size } from '../../core/size-plan.ts';
import { withText } from '../../emulator/png-text.ts';
import { ImageEncoder } from '../../media/image-encoder.ts';
import { MediaProbe } from '../../media/probe.ts';
import { Spool } from '../../media/spool.ts';
import type { ByteRange, ByteSource } from '../../storage/object-store.ts';
import { formOutput } from './form-output.ts';

const { signal } = new AbortController();
const madeFolder = new URL('../../../test/media/made/', import.meta.url);
const prompt = { 1: { class_type: 'SaveImage' } };

/** A file on a backend, and how much of it was fetched. */
class Made implements ByteSource {
  readonly size: number;
  fetchedBytes = 0;
  requests = 0;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer, size = bytes.length) {
    this.#bytes = bytes;
    this.size = size;
  }

  async open(range: ByteRange | null): Promise<Readable> {
    const part = range ? this.#bytes.subarray(range.start, range.end + 1) : this.#bytes;
    this.fetchedBytes += part.length;
    this.requests += 1;
    return Readable.from([part]);
  }
}

describe('formOutput', () => {
  let folder: string;
  let spool: Spool;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tmlsr-form-'));
    spool = await Spool.open(folder, () => ({ [Symbol.dispose]() {} }), 1_000_000_000);
  });
  after(async () => {
    await spool[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  async function formed(
    made: ByteSource,
    {
      size = null,
      thumbnails = false,
      clip = { frames: null, colour: null },
      ...wishes
    }: Partial<Delivery> & { size?: Size | null; thumbnails?: boolean; clip?: ClipPlan } = {},
  ) {
    const parts = { probe: new MediaProbe(), encoder: new ImageEncoder(1), spool, thumbnails };
    const wanted = {
      owner: 'attempt',
      name: 'made',
      delivery: { ...deliveryAsUsual, ...wishes },
      size,
      clip,
    };
    const { source, ...rest } = await formOutput(parts, made, wanted, signal);
    const bytes = Buffer.concat(await (await source.open(null, signal)).toArray());
    assert.equal(bytes.length, source.size);
    return { ...rest, bytes };
  }

  async function animatedPng(): Promise<Buffer> {
    const png = await samplePng({ width: 20, height: 10 });
    const body = Buffer.from('acTL\0\0\0\x02\0\0\0\0', 'latin1');
    const control = Buffer.alloc(body.length + 8);
    control.writeUInt32BE(8);
    body.copy(control, 4);
    control.writeUInt32BE(crc32(body), body.length + 4);
    return Buffer.concat([png.subarray(0, 33), control, png.subarray(33)]);
  }

  it('fetches of a video no more than its headers before it is stored', async () => {
    const shape = { width: 320, height: 240, frames: 60, fps: 30, codec: 'avc' } as const;
    const format = new Mp4OutputFormat({ fastStart: false });
    const tags = { comment: JSON.stringify(prompt) };
    const space = Buffer.alloc(8_000_000);
    space.writeUInt32BE(space.length);
    space.write('free', 4, 'latin1');
    const clip = Buffer.concat([await sampleClip({ ...shape, format, tags }), space]);
    const made = new Made(clip);
    const { bytes, info, thumbnail } = await formed(made, { thumbnails: true, format: 'webp' });
    assert.equal(info?.kind === 'video' && info.frames, 60);
    assert.equal(bytes.length, clip.length);
    assert.equal(bytes.includes('class_type'), false);
    assert.equal(await thumbnail(signal), null);
    const beside = made.fetchedBytes - clip.length;
    assert.ok(beside < 2_000_000, `${beside} bytes were fetched beside what was stored`);
    assert.ok(made.requests <= 12, `${made.requests} requests`);
    const kept = await formed(new Made(clip), { keepsMetadata: true });
    assert.ok(kept.bytes.equals(clip));
  });

  it('refuses a clip of which players show nothing, or less than there should be', async () => {
    const shape = { width: 64, height: 48, frames: 46, fps: 24, codec: 'avc' } as const;
    const clip = await sampleClip({ ...shape, format: new Mp4OutputFormat() });
    const planned = (frames: number | null) => ({ clip: { frames, colour: null } });
    await assert.rejects(formed(new Made(clip), planned(48)), {
      code: 'output_broken',
      message: 'The clip that the workflow made has 46 frames; its source has 48',
    });
    for (const frames of [46, 40, null]) await formed(new Made(clip), planned(frames));
    const late = await readFile(new URL('remuxed-bframes.mp4', madeFolder));
    await assert.rejects(formed(new Made(late)), {
      code: 'output_broken',
      message: /begins in the middle/,
    });
  });

  it('tells the colours of a clip that does not, whether or not it keeps its graph', async () => {
    const tag = { primaries: 1, transfer: 1, matrix: 6 };
    const clip = { frames: null, colour: { ifMatrixIsRead: tag, ifMatrixIsIgnored: tag } };
    const bytes = await readFile(new URL('h264-720.mp4', madeFolder));
    for (const keepsMetadata of [false, true]) {
      const told = await formed(new Made(bytes), { clip, keepsMetadata });
      assert.equal(told.bytes.includes('colrnclx'), true);
      assert.equal(told.bytes.includes('the secret'), keepsMetadata);
    }
    const tagged = await readFile(new URL('../cases/bars709-180.mp4', madeFolder));
    const kept = await formed(new Made(tagged), { clip, keepsMetadata: true });
    assert.ok(kept.bytes.equals(tagged));
  });

  it('passes a picture on with which nothing is to be done', async () => {
    const png = withText(await samplePng({ width: 300, height: 200 }), { prompt });
    const made = new Made(png);
    const { bytes } = await formed(made, { keepsMetadata: true });
    assert.ok(bytes.equals(png));
    assert.deepEqual(await spooled(), []);
  });

  it('leaves alone what has the format and the size already', async () => {
    const plain = await samplePng({ width: 30, height: 20 });
    const png = withText(plain, { prompt });
    const { bytes } = await formed(new Made(png), {
      format: 'png',
      size: { width: 30, height: 20 },
    });
    assert.ok(bytes.equals(plain));
    const resized = await formed(new Made(png), { size: { width: 15, height: 20 } });
    assert.equal(pictureOf(resized.info)?.width, 15);
    await spool.clear('attempt');
  });

  it('keeps an animation that the format cannot hold', async () => {
    const apng = await animatedPng();
    for (const format of ['webp', 'jpg'] as const) {
      const { bytes, info } = await formed(new Made(withText(apng, { prompt })), { format });
      assert.ok(bytes.equals(apng));
      assert.equal(info?.format, 'png');
    }
    await assert.rejects(formed(new Made(apng), { size: { width: 5, height: 5 } }), {
      code: 'invalid_request',
      message: /animated PNG/,
    });
    await spool.clear('attempt');
  });

  it('tells of an animation how many frames it has, and how long they are shown', async () => {
    const pictures = [1, 2, 3].map((seed) => samplePng({ width: 30, height: 20, seed }));
    const moving = sharp(await Promise.all(pictures), { join: { animated: true } });
    const shown = { frames: 3, fps: 10, durationSeconds: 0.3 };
    const gif = await moving
      .clone()
      .gif({ delay: [100, 150, 50] })
      .toBuffer();
    const webp = await moving
      .clone()
      .webp({ delay: [100, 150, 50] })
      .toBuffer();
    const told = async (bytes: Buffer, wishes = {}) => {
      const { info } = await formed(new Made(bytes), wishes);
      assert.ok(info?.kind === 'image');
      const { frames, fps, durationSeconds } = info;
      return { frames, fps, durationSeconds };
    };
    assert.deepEqual(await told(gif), shown);
    assert.deepEqual(await told(gif, { format: 'webp' }), shown);
    assert.deepEqual(await told(webp, { size: { width: 15, height: 10 } }), shown);
    assert.equal((await told(await animatedPng())).frames, 2);
    const still = await told(await samplePng({ width: 30, height: 20 }));
    assert.equal(still.frames, undefined);
    await spool.clear('attempt');
  });

  it('stores what it cannot read as it is', async () => {
    const { bytes, format, info } = await formed(new Made(Buffer.from('no picture at all')));
    assert.deepEqual([bytes.toString(), format, info], ['no picture at all', null, null]);
    const png = await samplePng({ width: 30, height: 20 });
    const cut = await formed(new Made(png.subarray(0, 500)), { thumbnails: true });
    assert.equal(cut.bytes.length, 500);
    assert.equal(await cut.thumbnail(signal), null);
    await spool.clear('attempt');
  });

  it('finds a transfer that ended short', async () => {
    const png = await sharp(await samplePng({ width: 300, height: 200 }))
      .png()
      .toBuffer();
    const short = new Made(png, png.length + 1);
    await assert.rejects(formed(short), { code: 'output_truncated' });
    await spool.clear('attempt');
  });

  async function spooled(): Promise<string[]> {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    return entries.filter((entry) => entry.isFile()).map(({ name }) => name);
  }
});
