import type { ClipStart } from '../core/made-clip.ts';
import type { VideoFormat } from '../core/media.ts';
import type { Scanner } from './metadata/edit.ts';
import { isoClipStart } from './metadata/iso-start.ts';
import { matroskaClipStart } from './metadata/matroska-start.ts';

const readers: Record<VideoFormat, (file: Scanner) => Promise<ClipStart>> = {
  mp4: isoClipStart,
  mov: isoClipStart,
  webm: matroskaClipStart,
  mkv: matroskaClipStart,
  ts: async () => ({ isKey: null, frames: null }),
  '3gp': isoClipStart,
};

/**
 * Reads how the first video track begins.
 *
 * @throws Error for a file whose structure is damaged, whatever the file's reader throws.
 */
export async function clipStart(file: Scanner, format: VideoFormat): Promise<ClipStart> {
  return await readers[format](file);
}
