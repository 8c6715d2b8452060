/** The fields of a TIFF file's first page (TIFF 6.0, §2), as far as loaders differ in them. */
import { PythonError } from '../python.ts';

export interface TiffPage {
  readonly compression: number;
  readonly photometric: number;
  readonly isTiled: boolean;
  readonly isFloat: boolean;
}

export const tiffCompression = { oldJpeg: 6, jpeg: 7 } as const;
export const tiffCieLab = 8;

const tiffYcc = 6;
/** LZMA, Zstandard, WebP: ComfyUI's readers know them. */
const foreignCompressions = [34925, 50000, 50001];

const tags = { compression: 259, photometric: 262, tileWidth: 322, sampleFormat: 339 } as const;
const entryBytes = 12;
const floatSamples = 3;

export function readTiff(bytes: Buffer): TiffPage {
  const isLittle = bytes[0] === 0x49;
  const short = (at: number) => (isLittle ? bytes.readUInt16LE(at) : bytes.readUInt16BE(at));
  const long = (at: number) => (isLittle ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at));
  const values = new Map<number, number>();
  const directory = long(4);
  for (let index = 0; index < short(directory); index++) {
    const entry = directory + 2 + index * entryBytes;
    // More than two values stand elsewhere; all samples have one format.
    const values16 = long(entry + 4);
    values.set(short(entry), short(values16 > 2 ? long(entry + 8) : entry + 8));
  }
  return {
    compression: values.get(tags.compression) ?? 1,
    photometric: values.get(tags.photometric) ?? 1,
    isTiled: values.has(tags.tileWidth),
    isFloat: values.get(tags.sampleFormat) === floatSamples,
  };
}

/** Our decoder would make black of it without a word; Pillow and FFmpeg do not. */
export function checkTiff({ compression, photometric }: TiffPage): void {
  const isRawYcc = photometric === tiffYcc && compression !== tiffCompression.jpeg;
  if (!isRawYcc && !foreignCompressions.includes(compression)) return;
  throw new PythonError(
    'OSError',
    `this emulator cannot read a TIFF of this kind (${compression})`,
  );
}
