import type { ImageFormat } from '../core/media.ts';
import { sharp } from './libvips.ts';
import { readPngFacts } from './metadata/find-metadata.ts';
import type { RangeReader } from './range-reader.ts';

/** Whether the picture moves. What cannot be read does not. */
export async function isAnimation(
  file: { readonly path: string; readonly reader: RangeReader; readonly format: ImageFormat },
  signal: AbortSignal,
): Promise<boolean> {
  const { path, reader, format } = file;
  try {
    if (format === 'png') return (await readPngFacts(reader, signal)).frames > 1;
    if (format !== 'gif' && format !== 'webp') return false;
    return ((await sharp(path, { limitInputPixels: false }).metadata()).pages ?? 1) > 1;
  } catch {
    signal.throwIfAborted();
    return false;
  }
}
