import { readFile } from 'node:fs/promises';
import type { Sharp, SharpOptions } from 'sharp';
import type { Size } from '../../core/picture-size.ts';
import { sharp } from '../libvips.ts';
import {
  asShown,
  inputOf,
  type Picture,
  type PictureInput,
  readerOptions,
  upright,
} from './open-picture.ts';

/** What a picture is read from, and how. */
export interface Opened {
  readonly input: PictureInput;
  readonly options: SharpOptions;
}

const endOfJpeg = Buffer.from([0xff, 0xd9]);
const opaque = Buffer.alloc(64 * 1024, 0xff);
/** Deflate gets little smaller from here on, and slower. */
const compressionLevel = 2;

/** Works on the picture, and once more on a JPEG that may lack no more than the marker of its end. */
export async function withPixels<T>(
  { path, format, sentFrames }: Picture,
  maxPixels: number,
  work: (opened: Opened) => Promise<T>,
): Promise<T> {
  const options = { ...readerOptions(format, maxPixels), pages: pagesOf(format, sentFrames) };
  try {
    return await work({ input: await inputOf(path, format), options });
  } catch (error) {
    const lacksEnd = error instanceof Error && /premature end of JPEG image/.test(error.message);
    if (!lacksEnd) throw error;
    // Where pixels are missing, too, its decoder warns of the end that comes too soon.
    const input = Buffer.concat([await readFile(path), endOfJpeg]);
    return await work({ input, options: { ...options, failOn: 'warning' } });
  }
}

/**
 * Reads every row and keeps a pixel of each: a 40 MP JPEG takes 11 MB so, and 140 MB as it is. In both
 * directions a JPEG would be shrunk while it is read, without its last rows; a WebP is read in one
 * piece in any case, and takes 10 MB in place of 320 MB if that piece is small.
 */
export async function checkPixels({ header, format }: Picture, opened: Opened): Promise<void> {
  const height = format === 'webp' ? 1 : header.height;
  // The colours are of no matter here: a profile is left alone.
  const rows = imageOf(opened).keepIccProfile().resize({ width: 1, height, fit: 'fill' });
  await rows.raw().toBuffer();
}

/** Reads every pixel, too. */
export async function isTransparent(opened: Opened): Promise<boolean> {
  const alpha = await imageOf(opened).extractChannel('alpha').raw().toBuffer();
  for (let at = 0; at < alpha.length; at += opaque.length) {
    const part = alpha.subarray(at, at + opaque.length);
    if (part.compare(opaque, 0, part.length) !== 0) return true;
  }
  return false;
}

/**
 * Writes what a person sees of the picture: one frame, upright, sRGB, as large as the screen of a GIF. What has 16 bit keeps them, in three
 * channels: ComfyUI's loader uses them from 0.21.0 on, and before, it makes white of grey in 16 bit. With a
 * profile it does not: sharp goes by way of Display P3 then, and comes out beside the colours.
 */
export async function writePlain(
  { header, format, sentFrames }: Picture,
  opened: Opened,
  { size, hasAlpha }: { readonly size: Size; readonly hasAlpha: boolean },
  to: string,
): Promise<void> {
  const keeps16Bit = header.depth === 'ushort' && !header.icc && sentFrames === 1;
  const image = upright(imageOf(opened), format);
  if (madeFormat({ sentFrames }) === 'webp') image.webp({ lossless: true, effort: 0 });
  else image.png({ compressionLevel });
  const own = asShown(header, format);
  const [right, bottom] = [size.width - own.width, size.height - own.height];
  if (right + bottom > 0) image.extend({ right, bottom, background: 'transparent' });
  if (header.icc) image.pipelineColourspace('srgb');
  if (header.hasAlpha && !hasAlpha && right + bottom === 0) image.removeAlpha();
  await image.toColourspace(keeps16Bit ? 'rgb16' : 'srgb').toFile(to);
}

/** Every ComfyUI takes all frames of an animated WebP. */
export function madeFormat({ sentFrames }: Pick<Picture, 'sentFrames'>): 'png' | 'webp' {
  return sentFrames > 1 ? 'webp' : 'png';
}

/** Of an animated PNG, libvips sees one. */
function pagesOf(format: Picture['format'], sentFrames: number): number {
  return sentFrames > 1 && format !== 'png' ? -1 : 1;
}

export function imageOf({ input, options }: Opened): Sharp {
  return sharp(input, options);
}
