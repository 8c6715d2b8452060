/**
 * As Pillow gives a picture to ComfyUI 0.3.64: every frame, and every page of the first one's size,
 * upright, its colour profile left aside, and grey of 16 bits cut to white.
 */
import type { Metadata } from 'sharp';
import type { Frame } from '../frames.ts';
import { greyFrame, lenient, toFrame, withoutAlpha } from './picture.ts';
import { composedFrames, readPng } from './png.ts';
import { checkTiff, readTiff } from './tiff.ts';

export async function* readAsPillow(bytes: Buffer): AsyncGenerator<Frame> {
  const described = await lenient(bytes).metadata();
  if (described.format === 'tiff') checkTiff(readTiff(bytes));
  if (described.format === 'png') yield* readPngFile(bytes, described);
  else yield* readPages(bytes, described);
}

async function* readPngFile(bytes: Buffer, described: Metadata): AsyncGenerator<Frame> {
  const png = readPng(bytes);
  if (png.frames.length > 0) {
    yield* composedFrames(png);
    return;
  }
  const frame = await readPage(bytes, described);
  yield png.hasTransparentColour && !png.hasPalette ? withoutAlpha(frame) : frame;
}

async function* readPages(bytes: Buffer, described: Metadata): AsyncGenerator<Frame> {
  const count = described.format === 'heif' ? 1 : (described.pages ?? 1);
  let first: Frame | null = null;
  for (let page = 0; page < count; page++) {
    const read = await readPage(bytes, described, count === 1 ? undefined : page);
    const frame = described.format === 'gif' ? asGif(read) : read;
    first ??= frame;
    if (frame.width === first.width && frame.height === first.height) yield frame;
  }
}

/** A GIF file is without transparency until a pixel is transparent. */
function asGif(frame: Frame): Frame {
  return frame.alpha?.includes(0) ? frame : withoutAlpha(frame);
}

async function readPage(bytes: Buffer, described: Metadata, page?: number): Promise<Frame> {
  const image = lenient(bytes, page).autoOrient();
  // Its samples of 16 bits and of floats go into 8 bits as they are, and what is more is cut off.
  if (described.channels === 1 && described.depth !== 'uchar') {
    const { data, info } = await image
      .toColourspace('grey16')
      .raw({ depth: described.depth === 'float' ? 'float' : 'ushort' })
      .toBuffer({ resolveWithObject: true });
    const samples =
      described.depth === 'float'
        ? new Float32Array(data.buffer, data.byteOffset, info.width * info.height)
        : new Uint16Array(data.buffer, data.byteOffset, info.width * info.height);
    const cut = Uint8Array.from(samples, (sample) =>
      Math.min(255, Math.max(0, Math.trunc(sample))),
    );
    return greyFrame(info.width, info.height, cut);
  }
  return toFrame(image);
}
