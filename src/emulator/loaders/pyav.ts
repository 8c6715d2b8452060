/**
 * As PyAV, with FFmpeg, gives a picture to ComfyUI 0.33: turned, but never mirrored; a grid's first
 * tile; nothing of a tiled TIFF. What it finds no frame in is read by Pillow after all.
 */
import type { Metadata } from 'sharp';
import type { Frame } from '../frames.ts';
import { PythonError } from '../python.ts';
import { readAvif } from './avif.ts';
import { black, lenient, opaque, toFrame, withoutAlpha } from './picture.ts';
import { readAsPillow } from './pillow.ts';
import { composedFrames, readPng } from './png.ts';
import { checkTiff, readTiff, tiffCieLab, tiffCompression } from './tiff.ts';

export async function* readAsPyAv(bytes: Buffer): AsyncGenerator<Frame> {
  const described = await lenient(bytes).metadata();
  switch (described.format) {
    case 'png':
      return yield* readPngFile(bytes, described);
    case 'gif':
      return yield* readGif(bytes, described);
    case 'webp':
      if ((described.pages ?? 1) > 1) return yield* readAsPillow(bytes);
      return yield await readWebp(bytes, described);
    case 'tiff':
      return yield await readTiffPage(bytes, described);
    case 'heif':
      return yield await readHeif(bytes);
    default:
      return yield await readTurned(bytes, described);
  }
}

/** By EXIF's number. FFmpeg takes the angle out of each; the mirrored ones lose their mirror. */
const clockwise: readonly number[] = [0, 0, 180, 180, 0, 90, 90, 270, 270];

async function readTurned(bytes: Buffer, { orientation, space }: Metadata): Promise<Frame> {
  const frame = await toFrame(lenient(bytes).rotate(clockwise[orientation ?? 1] ?? 0));
  return space === 'cmyk' ? opaque(frame) : frame;
}

async function* readPngFile(bytes: Buffer, described: Metadata): AsyncGenerator<Frame> {
  const png = readPng(bytes);
  if (png.frames.length > 0) {
    yield* composedFrames(png);
    return;
  }
  const frame = await readTurned(bytes, described);
  yield png.hasPalette ? opaque(frame) : frame;
}

/** Every frame has a fourth channel, and is white where it is transparent. */
async function* readGif(bytes: Buffer, { pages = 1 }: Metadata): AsyncGenerator<Frame> {
  for (let page = 0; page < pages; page++) {
    const frame = opaque(await toFrame(lenient(bytes, page)));
    for (const [pixel, alpha] of (frame.alpha ?? []).entries()) {
      if (alpha === 0) frame.rgb.fill(255, pixel * 3, pixel * 3 + 3);
    }
    yield frame;
  }
}

/** A lossless one has a fourth channel in any case. */
async function readWebp(bytes: Buffer, described: Metadata): Promise<Frame> {
  const frame = await readTurned(bytes, described);
  return bytes.includes('VP8L') ? opaque(frame) : frame;
}

async function readTiffPage(bytes: Buffer, described: Metadata): Promise<Frame> {
  const page = readTiff(bytes);
  checkTiff(page);
  const { compression, photometric, isTiled, isFloat } = page;
  if (photometric === tiffCieLab) {
    throw new PythonError(
      'av.error.PatchWelcomeError',
      "[Errno 1163346256] Not yet implemented in FFmpeg, patches welcome: 'avcodec_send_packet()'",
    );
  }
  const { jpeg, oldJpeg } = tiffCompression;
  if (isTiled || isFloat || compression === jpeg || compression === oldJpeg) {
    return black(described.width, described.height);
  }
  return readTurned(bytes, described);
}

/** Its transparency is a track of its own, which nobody reads. */
async function readHeif(bytes: Buffer): Promise<Frame> {
  const { tile, mirror } = readAvif(bytes);
  const image = lenient(bytes);
  if (tile) image.extract({ left: 0, top: 0, ...tile });
  if (mirror === 'horizontal') image.flop().rotate(180);
  if (mirror === 'vertical') image.flip();
  return withoutAlpha(await toFrame(image));
}
