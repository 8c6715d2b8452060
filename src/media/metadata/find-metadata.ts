import type { MediaFormat } from '../../core/media.ts';
import type { RangeReader } from '../range-reader.ts';
import { avifEdits } from './avif.ts';
import { type Edit, Scanner } from './edit.ts';
import { gifEdits } from './gif.ts';
import { type HeifFacts, heifFacts } from './heif-facts.ts';
import { isoMediaEdits } from './iso-media.ts';
import { jpegEdits } from './jpeg.ts';
import { matroskaEdits } from './matroska.ts';
import { type PngFacts, pngEdits, pngFacts } from './png.ts';
import { tiffEdits } from './tiff.ts';
import { webpEdits } from './webp.ts';

/** Enough for the headers that lie together, and little to have asked for in vain. */
const windowBytes = 64 * 1024;

const finders: Record<MediaFormat, (file: Scanner) => Promise<Edit[]>> = {
  png: pngEdits,
  jpg: jpegEdits,
  webp: webpEdits,
  gif: gifEdits,
  tiff: tiffEdits,
  avif: avifEdits,
  heic: avifEdits,
  mp4: isoMediaEdits,
  mov: isoMediaEdits,
  webm: matroskaEdits,
  mkv: matroskaEdits,
};

/**
 * What has to be changed in a file so that it says nothing of how it was made, in order; pictures and
 * samples stay as they are, byte for byte. ComfyUI's nodes write the whole graph into texts of PNG, into
 * EXIF, and into tags of videos.
 *
 * @throws Error for a file whose structure is damaged, whatever `reader` throws.
 */
export async function findMetadata(
  reader: RangeReader,
  format: MediaFormat,
  signal: AbortSignal,
): Promise<Edit[]> {
  const edits = await finders[format](scannerOf(reader, signal));
  edits.reduce((at, { start, end }) => {
    if (start < at || end > reader.size) throw new Error('Its parts overlap');
    return end;
  }, 0);
  return edits;
}

/** What the header of a PNG says. @throws as `findMetadata`. */
export async function readPngFacts(reader: RangeReader, signal: AbortSignal): Promise<PngFacts> {
  return await pngFacts(scannerOf(reader, signal));
}

/** What the header of a HEIF says. @throws as `findMetadata`. */
export async function readHeifFacts(reader: RangeReader, signal: AbortSignal): Promise<HeifFacts> {
  return await heifFacts(scannerOf(reader, signal));
}

function scannerOf(reader: RangeReader, signal: AbortSignal): Scanner {
  const read = (start: number, end: number) => reader.read(start, end, signal);
  return new Scanner(reader.size, read, windowBytes);
}
