import { type MediaFormat, mediaKindOf } from '../../core/media.ts';
import type { RangeReader } from '../probe.ts';
import { avifEdits } from './avif.ts';
import { type Edit, Scanner } from './edit.ts';
import { gifEdits } from './gif.ts';
import { isoMediaEdits } from './iso-media.ts';
import { jpegEdits } from './jpeg.ts';
import { matroskaEdits } from './matroska.ts';
import { pngEdits } from './png.ts';
import { tiffEdits } from './tiff.ts';
import { webpEdits } from './webp.ts';
import type { Wish } from './wish.ts';

/** Enough for the headers that lie together, and little to have asked for in vain. */
const windowBytes = 64 * 1024;

const finders: Record<MediaFormat, (file: Scanner, wish: Wish) => Promise<Edit[]>> = {
  png: pngEdits,
  jpg: jpegEdits,
  webp: webpEdits,
  gif: gifEdits,
  tiff: tiffEdits,
  avif: avifEdits,
  mp4: isoMediaEdits,
  mov: isoMediaEdits,
  webm: matroskaEdits,
  mkv: matroskaEdits,
  ts: async () => [],
  '3gp': isoMediaEdits,
};

/**
 * What has to be changed in a file so that it says nothing of how it was made, and of a clip what its colours
 * are, in order; pictures and samples stay as they are, byte for byte. ComfyUI's nodes write the whole graph
 * into texts of PNG, into EXIF, and into tags of videos.
 *
 * @throws Error for a file whose structure is damaged, whatever the file's reader throws.
 */
export async function findEdits(file: Scanner, format: MediaFormat, wish: Wish): Promise<Edit[]> {
  if (wish.keepsMetadata && (wish.colour === null || mediaKindOf(format) === 'image')) return [];
  const edits = await finders[format](file, wish);
  edits.reduce((at, { start, end }) => {
    if (start < at || end > file.size) throw new Error('Its parts overlap');
    return end;
  }, 0);
  return edits;
}

/** The file, for whoever looks at its structure. */
export function scan(reader: RangeReader, signal: AbortSignal): Scanner {
  const read = (start: number, end: number) => reader.read(start, end, signal);
  return new Scanner(reader.size, read, windowBytes);
}
