import { kindOfFormat, type ResultFormat } from '../../core/result-format.ts';
import type { RangeReader } from '../range-reader.ts';
import { avifEdits } from './avif.ts';
import { type Edit, Scanner } from './edit.ts';
import { exrEdits } from './exr.ts';
import { flacEdits } from './flac.ts';
import { gifEdits } from './gif.ts';
import { type HeifFacts, heifFacts } from './heif-facts.ts';
import { isoMediaEdits } from './iso-media.ts';
import { jpegEdits } from './jpeg.ts';
import { glbEdits, latentEdits } from './json-header.ts';
import { matroskaEdits } from './matroska.ts';
import { mp3Edits } from './mp3.ts';
import { opusEdits } from './opus.ts';
import { type PngFacts, pngEdits, pngFacts } from './png.ts';
import { svgEdits } from './svg.ts';
import { tiffEdits } from './tiff.ts';
import { webpEdits } from './webp.ts';
import type { Wish } from './wish.ts';

/** Enough for the headers that lie together, and little to have asked for in vain. */
const windowBytes = 64 * 1024;

type Finder = (file: Scanner, wish: Wish) => Promise<Edit[]>;

const finders: Readonly<Partial<Record<ResultFormat, Finder>>> = {
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
  ts: async () => [],
  '3gp': isoMediaEdits,
  m4a: isoMediaEdits,
  mp3: mp3Edits,
  flac: flacEdits,
  opus: opusEdits,
  glb: glbEdits,
  latent: latentEdits,
  svg: svgEdits,
  exr: exrEdits,
  // A text says what it says.
  txt: async () => [],
  md: async () => [],
  csv: async () => [],
  json: async () => [],
};

/** Whether what ComfyUI writes into files of a format can be taken out. */
export function canBeEdited(format: ResultFormat): boolean {
  return finders[format] !== undefined;
}

/**
 * What has to be changed in a file so that it says nothing of how it was made, and of a clip what its colours
 * are, in order; pictures and samples stay as they are, byte for byte. ComfyUI's nodes write the whole graph
 * into texts of PNG, into EXIF, and into tags of videos. A format of which nothing is known stays as it is.
 *
 * @throws Error for a file whose structure is damaged, whatever the file's reader throws.
 */
export async function findEdits(file: Scanner, format: ResultFormat, wish: Wish): Promise<Edit[]> {
  const tellsColour = wish.colour !== null && kindOfFormat(format) === 'video';
  const finder = finders[format];
  if (!finder || (wish.keepsMetadata && !tellsColour)) return [];
  const edits = await finder(file, wish);
  edits.reduce((at, { start, end }) => {
    if (start < at || end > file.size) throw new Error('Its parts overlap');
    return end;
  }, 0);
  return edits;
}

/** What the header of a PNG says. @throws as `findEdits`. */
export async function readPngFacts(reader: RangeReader, signal: AbortSignal): Promise<PngFacts> {
  return await pngFacts(scan(reader, signal));
}

/** What the header of a HEIF says. @throws as `findEdits`. */
export async function readHeifFacts(reader: RangeReader, signal: AbortSignal): Promise<HeifFacts> {
  return await heifFacts(scan(reader, signal));
}

/** The file, for whoever looks at its structure. */
export function scan(reader: RangeReader, signal: AbortSignal): Scanner {
  const read = (start: number, end: number) => reader.read(start, end, signal);
  return new Scanner(reader.size, read, windowBytes);
}
