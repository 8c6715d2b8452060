import sharp from 'sharp';
import type { ImageFormat } from '../core/media.ts';
import { isAnimatedPng } from './metadata/find-edits.ts';
import type { RangeReader } from './probe.ts';

/** Whether the picture moves. What cannot be read does not. */
export async function isAnimation(
  file: { readonly path: string; readonly reader: RangeReader; readonly format: ImageFormat },
  signal: AbortSignal,
): Promise<boolean> {
  const { path, reader, format } = file;
  try {
    // libvips sees the first frame of an animated PNG, and no more.
    if (format === 'png') return await isAnimatedPng(reader, signal);
    if (format !== 'gif' && format !== 'webp') return false;
    return ((await sharp(path, { limitInputPixels: false }).metadata()).pages ?? 1) > 1;
  } catch {
    signal.throwIfAborted();
    return false;
  }
}
