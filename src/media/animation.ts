import sharp from 'sharp';
import type { Animation, ImageFormat } from '../core/media.ts';
import { scan } from './metadata/find-edits.ts';
import { pngFrames } from './metadata/png.ts';
import type { RangeReader } from './probe.ts';

/** How the picture moves; `null` for one that does not, or that cannot be read. */
export async function animationOf(
  file: { readonly path: string; readonly reader: RangeReader; readonly format: ImageFormat },
  signal: AbortSignal,
): Promise<Animation | null> {
  const { path, reader, format } = file;
  try {
    // libvips sees the first frame of an animated PNG, and no more.
    if (format === 'png') return await pngAnimation(reader, signal);
    if (format !== 'gif' && format !== 'webp') return null;
    const { pages = 1, delay = [] } = await sharp(path, { limitInputPixels: false }).metadata();
    return pages > 1 ? animation(delay.slice(0, pages), pages) : null;
  } catch {
    signal.throwIfAborted();
    return null;
  }
}

async function pngAnimation(reader: RangeReader, signal: AbortSignal): Promise<Animation | null> {
  const frames = await pngFrames(scan(reader, signal));
  return frames && animation(frames.delaysMs, frames.count);
}

/** Milliseconds of each frame. */
function animation(delays: readonly number[], frames: number): Animation {
  const ms = delays.reduce((sum, delay) => sum + delay, 0);
  const fps = ms > 0 ? Math.round((frames / ms) * 1_000_000) / 1_000 : null;
  return { frames, fps, durationSeconds: ms / 1_000 };
}
