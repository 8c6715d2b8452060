import { open, readFile } from 'node:fs/promises';
import type { Metadata, Sharp, SharpOptions } from 'sharp';
import type { ImageFormat } from '../../core/media.ts';
import { sharp } from '../libvips.ts';
import { readPngFacts } from '../metadata/find-edits.ts';
import type { PngFacts } from '../metadata/png.ts';
import { fileReader } from '../range-reader.ts';
import { cannotRead } from './faults.ts';
import { isSrgb } from './srgb.ts';

/** A picture of ours whose header was read. */
export interface Picture {
  readonly path: string;
  readonly format: ImageFormat;
  readonly header: Metadata;
  /** Or pages. */
  readonly frames: number;
  /** So many of them go to a server. */
  readonly sentFrames: number;
  /** Whether it goes to a server as it is: every ComfyUI sees in it what a person does. */
  readonly isPlain: boolean;
}

/** What sharp reads: a file, or one in memory. */
export type PictureInput = string | Uint8Array;

const plainFormats: readonly ImageFormat[] = ['png', 'jpg', 'webp'];
const plainSpaces = ['srgb', 'b-w'];
const noFacts: PngFacts = { frames: 1, hasKeyColour: false };

/** Of a PNG the checksums may be wrong, as others take those: what they stand for, zlib checks as well. */
export function failOn(format: ImageFormat): NonNullable<SharpOptions['failOn']> {
  return format === 'png' ? 'truncated' : 'error';
}

/** @throws GatewayError `media_unsupported`; Error with libvips' words. */
export async function openPicture(
  path: string,
  format: ImageFormat,
  maxPixels: number,
  wanted: 'first' | 'all',
  signal: AbortSignal,
): Promise<Picture> {
  const input = await inputOf(path, format);
  const header = await sharp(input, readerOptions(format, maxPixels)).metadata();
  if (header.depth !== 'uchar' && header.depth !== 'ushort') {
    throw cannotRead(`its samples are of the type ${header.depth}, whose range nobody tells`);
  }
  const facts = format === 'png' ? await factsOf(path, signal) : noFacts;
  const frames = format === 'png' ? facts.frames : (header.pages ?? 1);
  const sentFrames = wanted === 'all' ? frames : 1;
  if (sentFrames > 1 && (header.orientation ?? 1) !== 1) throw cannotRead('its pages are turned');
  // An animated PNG, of which libvips sees one frame, goes as it is.
  const isMoving = format === 'png' && sentFrames > 1;
  const isStill =
    plainFormats.includes(format) &&
    frames === sentFrames &&
    !facts.hasKeyColour &&
    (await hasPlainPixels(header));
  return { path, format, header, frames, sentFrames, isPlain: isMoving || isStill };
}

/** libvips takes the still picture of an animated AVIF where the file does not say first that it is one. */
export async function inputOf(path: string, format: ImageFormat): Promise<PictureInput> {
  if (format !== 'avif' || (await brandOf(path)) !== 'avis') return path;
  const bytes = await readFile(path);
  bytes.write('avif', 8, 'latin1');
  return bytes;
}

async function brandOf(path: string): Promise<string> {
  await using file = await open(path);
  const { buffer } = await file.read(Buffer.alloc(4), 0, 4, 8);
  return buffer.toString('latin1');
}

/** The first frame, read row by row. */
export function readerOptions(format: ImageFormat, maxPixels: number): SharpOptions {
  return {
    limitInputPixels: maxPixels,
    failOn: failOn(format),
    sequentialRead: true,
    pages: 1,
  };
}

/** libheif has turned the picture already, whatever EXIF says (ISO 23008-12 §A.2). */
export function upright(image: Sharp, format: ImageFormat): Sharp {
  return isHeif(format) ? image : image.autoOrient();
}

/** EXIF orientations 5 to 8 lie on their side. */
export function asShown(
  { width, height, orientation = 1 }: Metadata,
  format: ImageFormat,
): { width: number; height: number } {
  const isOnItsSide = orientation >= 5 && !isHeif(format);
  return isOnItsSide ? { width: height, height: width } : { width, height };
}

function isHeif(format: ImageFormat): boolean {
  return format === 'avif' || format === 'heic';
}

async function hasPlainPixels(header: Metadata): Promise<boolean> {
  const { depth, bitsPerSample = 8, space, channels, isPalette, orientation = 1, icc } = header;
  return (
    depth === 'uchar' &&
    bitsPerSample === 8 &&
    plainSpaces.includes(space) &&
    channels !== 2 &&
    !isPalette &&
    orientation === 1 &&
    (icc === undefined || (await isSrgb(icc)))
  );
}

/** Decoding finds what is wrong with its chunks. */
async function factsOf(path: string, signal: AbortSignal): Promise<PngFacts> {
  await using reader = await fileReader(path);
  return await readPngFacts(reader, signal).catch(() => noFacts);
}
