import { createWriteStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import sharp from 'sharp';
import type { Size } from '../core/size-plan.ts';

/**
 * Writes the picture that `source` yields to `path`, in exactly that size (pixels), its format and its
 * colours kept. The pixels are worked on outside the event loop.
 *
 * @throws whatever `source` throws; an error of sharp for bytes that are no picture.
 */
export async function resizeImage(
  source: Readable,
  { width, height }: Size,
  path: string,
  signal: AbortSignal,
): Promise<void> {
  const resize = sharp({ limitInputPixels: false }).keepIccProfile();
  resize.resize(width, height, { fit: 'fill', kernel: 'lanczos3' });
  await pipeline(source, resize, createWriteStream(path), { signal });
}
