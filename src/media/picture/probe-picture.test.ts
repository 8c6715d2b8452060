import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import sharp from 'sharp';
import { chunk } from '../../../test/support/png-chunk.ts';
import {
  assertShows,
  type Colour,
  colours,
  pictureFile,
  quarters,
  type Seen,
  seenPictures,
} from '../../../test/support/seen-pictures.ts';
import { type ImageInfo, type MediaFormat, pictureOf } from '../../core/media.ts';
import type { WorkflowLimits } from '../../core/media-limits.ts';
import { MediaProbe } from '../probe.ts';
import type { Probed } from '../probed.ts';

const probe = new MediaProbe();
const { signal } = new AbortController();

const [red, green, blue, white] = colours;

describe('a picture as a server gets it', () => {
  let folder = '';
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tmlsr-picture-'));
  });
  after(() => rm(folder, { recursive: true }));

  async function begin(
    path: string,
    isChecked = false,
    frames: 'first' | 'all' = 'first',
    limits: WorkflowLimits = {},
  ): Promise<Probed> {
    const plain = { path: join(folder, 'plain'), onBytes: () => {} };
    const probed = await probe.begin(path, signal, limits, { plain, frames, isChecked });
    await probed.checked;
    return probed;
  }

  async function beginBytes(bytes: Uint8Array): Promise<Probed> {
    const path = join(folder, 'source');
    await writeFile(path, bytes);
    return await begin(path);
  }

  for (const [name, expected] of Object.entries(seenPictures)) {
    it(`shows ${name} as a person sees it`, async () => {
      const path = pictureFile(name);
      const { info, made } = await begin(path);
      const { width, height, hasAlpha } = info as ImageInfo;
      assert.deepEqual([width, height], expected.size);
      assert.equal(hasAlpha ?? false, expected.hasAlpha ?? false);
      assert.equal(made === null, expected.isSame ?? false);
      await assertShows(made?.path ?? path, expected, name);
      if (made) await assertPlain(made.path, made.bytes, made.format);
    });
  }

  /** One frame, upright, untagged: what every ComfyUI sees as it is. */
  async function assertPlain(path: string, bytes: number, format: MediaFormat): Promise<void> {
    assert.equal(format, 'png');
    const content = await readFile(path);
    assert.equal(content.length, bytes);
    const header = await sharp(content).metadata();
    assert.equal(header.format, 'png');
    assert.deepEqual(
      [header.orientation ?? 1, header.icc, header.isPalette],
      [1, undefined, false],
    );
    assert.ok(header.channels >= 3 || header.depth === 'uchar', 'grey has 8 bit');
    assert.equal(content.includes('acTL'), false);
  }

  it('keeps 16 bit in three channels, or the colours of a profile', async () => {
    const grey = await begin(pictureFile('cases/gray16.png'));
    assert.ok(grey.made);
    const header = await sharp(grey.made.path).metadata();
    assert.deepEqual([header.depth, header.channels], ['ushort', 3]);

    const p3 = sharp(pictureFile('cases/p3.jpg')).keepIccProfile();
    const { made } = await beginBytes(await p3.toColourspace('rgb16').png().toBuffer());
    assert.ok(made);
    await assertShows(made.path, seenPictures['cases/p3.jpg'] as Seen, 'P3 in 16 bit');
  });

  it('turns every way that EXIF knows', async () => {
    const corners = Buffer.from([...red, ...green, ...blue, ...white]);
    const square = sharp(corners, { raw: { width: 2, height: 2, channels: 3 } })
      .resize(64, 48, { kernel: 'nearest', fit: 'fill' })
      .png();
    const shown: Record<number, Seen['at']> = {
      2: quarters(green, red, white, blue),
      3: quarters(white, blue, green, red),
      4: quarters(blue, white, red, green),
      5: quarters(red, blue, green, white),
      6: quarters(blue, red, white, green),
      7: quarters(white, green, blue, red),
      8: quarters(green, white, red, blue),
    };
    for (const [orientation, at] of Object.entries(shown)) {
      for (const format of ['jpeg', 'png', 'webp', 'tiff'] as const) {
        const turned = sharp(await square.toBuffer()).withMetadata({
          orientation: Number(orientation),
        });
        const options = format === 'jpeg' ? { chromaSubsampling: '4:4:4', quality: 100 } : {};
        const lossless = format === 'webp' ? { lossless: true } : options;
        const { made } = await beginBytes(await turned.toFormat(format, lossless).toBuffer());
        assert.ok(made, `${format} ${orientation}`);
        const size = Number(orientation) < 5 ? ([64, 48] as const) : ([48, 64] as const);
        await assertShows(made.path, { size, at }, `${format} ${orientation}`);
      }
    }
  });

  it('leaves plain stills alone, byte for byte, whatever they are called sRGB by', async () => {
    const photo = sharp(pictureFile('cases/exif5.jpg'));
    for (const bytes of [
      await photo.clone().jpeg().toBuffer(),
      await photo.clone().jpeg({ progressive: true }).withIccProfile('srgb').toBuffer(),
      await photo.clone().grayscale().jpeg().toBuffer(),
      await photo.clone().png().toBuffer(),
      await photo.clone().webp().toBuffer(),
      await photo.clone().ensureAlpha().png().toBuffer(),
    ]) {
      const { info, made } = await beginBytes(bytes);
      assert.deepEqual([made, (info as ImageInfo).hasAlpha], [null, undefined]);
    }
  });

  it('makes a picture of what is none to one server or another', async () => {
    const photo = sharp(pictureFile('cases/rgba.png'));
    const keyed = await photo.clone().removeAlpha().png().toBuffer();
    const key = chunk('tRNS', Buffer.from([0, 255, 0, 0, 0, 0]));
    for (const [what, bytes, hasAlpha] of [
      ['a palette', await photo.clone().removeAlpha().png({ palette: true }).toBuffer(), false],
      ['a palette with alpha', await photo.clone().png({ palette: true }).toBuffer(), true],
      ['a key colour', withBeforeIdat(keyed, key), true],
      ['grey with alpha', await photo.clone().toColourspace('b-w').png().toBuffer(), true],
      ['an opaque GIF', await photo.clone().removeAlpha().gif().toBuffer(), false],
      ['a transparent GIF', await photo.clone().gif().toBuffer(), true],
    ] as const) {
      const { info, made } = await beginBytes(bytes);
      assert.ok(made, what);
      assert.equal((info as ImageInfo).hasAlpha ?? false, hasAlpha, what);
      const { channels } = await sharp(made.path).metadata();
      assert.equal(channels % 2 === 0, hasAlpha, `${what} has ${channels} channels`);
    }
  });

  it('sees one pixel through which something is seen', async () => {
    const pixels = Buffer.alloc(700 * 500 * 4, 255);
    const of = async () => {
      const picture = sharp(pixels, { raw: { width: 700, height: 500, channels: 4 } });
      return (await beginBytes(await picture.png().toBuffer())).info as ImageInfo;
    };
    assert.equal((await of()).hasAlpha, undefined);
    pixels[pixels.length - 1] = 254;
    assert.equal((await of()).hasAlpha, true);
  });

  it('gives the first frame of an animated PNG and WebP', async () => {
    const frames = [red, green, blue].map((colour) =>
      sharp({ create: { width: 40, height: 30, channels: 3, background: toCss(colour) } }).png(),
    );
    const files = await Promise.all(frames.map((frame) => frame.toBuffer()));
    const webp = await sharp(files, { join: { animated: true } })
      .webp({ lossless: true })
      .toBuffer();
    const control = chunk('acTL', Buffer.from('0000000200000000', 'hex'));
    for (const bytes of [webp, withBeforeIdat(files[0] as Buffer, control)]) {
      const { made } = await beginBytes(bytes);
      assert.ok(made);
      await assertShows(made.path, { size: [40, 30], at: [[0.5, 0.5, red]] }, 'the first frame');
      await assertPlain(made.path, made.bytes, made.format);
    }
  });

  it('gives every frame where a workflow takes them, and counts them then', async () => {
    for (const [name, frames] of [
      ['cases/anim.gif', 5],
      ['cases/multi.tif', 2],
    ] as const) {
      const path = pictureFile(name);
      const { info, made } = await begin(path, false, 'all');
      assert.deepEqual([(info as ImageInfo).frames, made?.format], [frames, 'webp']);
      const { pages, width, height } = await sharp(made?.path).metadata();
      assert.deepEqual([pages, width, height], [frames, 64, 48]);
      const shown = async (path: string | undefined) =>
        await sharp(path, { animated: true }).removeAlpha().raw().toBuffer();
      assert.ok((await shown(made?.path)).equals(await shown(path)), name);
      const tooMany = begin(path, false, 'all', { maxFrames: frames - 1 });
      await assert.rejects(tooMany, { code: 'media_too_large' });
      // The first one alone is one frame.
      await begin(path, false, 'first', { maxFrames: 1 });
    }
    const { info, made } = await begin(pictureFile('cases/exif5.jpg'), false, 'all');
    assert.deepEqual([(info as ImageInfo).frames, made?.format], [undefined, 'png']);
  });

  it('makes a GIF as large as its screen', async () => {
    const gif = await readFile(pictureFile('cases/anim.gif'));
    gif.writeUInt16LE(3_000, 6);
    const { info, made } = await beginBytes(gif);
    assert.deepEqual([pictureOf(info)?.width, pictureOf(info)?.height], [3_000, 48]);
    const size = await sharp(made?.path).metadata();
    assert.deepEqual([size.width, size.height], [3_000, 48]);
  });

  it('names what it cannot read, and leaves nothing', async () => {
    for (const [name, reason] of [
      ['cases/lab.tif', /CIELAB/],
      ['cases/float.tif', /float/],
      ['zstd.tif', /compressed with ZSTD/],
    ] as const) {
      await rm(join(folder, 'plain'), { force: true });
      await assert.rejects(begin(pictureFile(name)), (error: Error) => {
        assert.equal((error as { code?: string }).code, 'media_unsupported', name);
        assert.match(error.message, reason);
        assert.equal(error.message.includes('/'), false, error.message);
        return true;
      });
      assert.equal(existsSync(join(folder, 'plain')), false);
    }
  });

  it('finds what is cut off, and takes what lacks no more than its end marker', async () => {
    const noise = sharp(Buffer.from(Array.from({ length: 90_000 }, (_, i) => (i * i * 31) % 256)), {
      raw: { width: 200, height: 150, channels: 3 },
    });
    for (const progressive of [false, true]) {
      const jpeg = await noise.clone().jpeg({ progressive }).toBuffer();
      for (const cut of [1, 2]) await beginBytes(jpeg.subarray(0, -cut));
      for (const cut of [4, 10, jpeg.length >> 1]) {
        await assert.rejects(
          beginBytes(jpeg.subarray(0, -cut)),
          { code: 'media_corrupt' },
          `${cut}`,
        );
      }
      const turned = await noise.clone().withMetadata({ orientation: 6 }).jpeg().toBuffer();
      assert.ok((await beginBytes(turned.subarray(0, -2))).made);
      await assert.rejects(beginBytes(turned.subarray(0, -900)), { code: 'media_corrupt' });
    }
    const heic = await readFile(pictureFile('mirrored.heic'));
    for (const cut of [20, 400, heic.length >> 1]) {
      await assert.rejects(beginBytes(heic.subarray(0, -cut)), { code: 'media_corrupt' }, `${cut}`);
    }
  });

  it('looks no more at the pixels of a plain picture that others have checked', async () => {
    const path = join(folder, 'broken');
    const whole = await readFile(pictureFile('cases/noeoi.jpg'));
    await writeFile(path, whole.subarray(0, -100));
    await begin(path, true);
    await assert.rejects(begin(path), { code: 'media_corrupt' });
    // What is not plain has to be made again.
    const turned = join(folder, 'turned');
    await copyFile(pictureFile('cases/exif5.jpg'), turned);
    assert.ok((await begin(turned, true)).made);
  });
});

function withBeforeIdat(png: Buffer, part: Buffer): Buffer {
  const at = png.indexOf('IDAT') - 4;
  return Buffer.concat([png.subarray(0, at), part, png.subarray(at)]);
}

function toCss([r, g, b]: Colour): string {
  return `rgb(${r}, ${g}, ${b})`;
}
