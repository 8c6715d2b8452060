import { open } from 'node:fs/promises';
import { fileTypeFromBuffer } from 'file-type';
import { GatewayError } from '../core/errors.ts';
import { audioFormats, imageFormats, type MediaFormat, videoFormats } from '../core/media.ts';

/** What file-type calls the formats that we take; anything else is none of ours. */
const formats: Readonly<Record<string, MediaFormat>> = {
  png: 'png',
  apng: 'png',
  jpg: 'jpg',
  webp: 'webp',
  gif: 'gif',
  tif: 'tiff',
  avif: 'avif',
  heic: 'heic',
  mp4: 'mp4',
  m4v: 'mp4',
  mov: 'mov',
  webm: 'webm',
  mkv: 'mkv',
  mts: 'ts',
  '3gp': '3gp',
  '3g2': '3gp',
  mp3: 'mp3',
  wav: 'wav',
  flac: 'flac',
  ogg: 'ogg',
  oga: 'ogg',
  opus: 'opus',
  m4a: 'm4a',
  m4b: 'm4a',
};

/** Containers that are not read here, by file-type's names, whose streams fit into one that is. */
const otherContainers: Readonly<Record<string, { name: string; file: string }>> = {
  avi: { name: 'AVI', file: 'in.avi' },
  flv: { name: 'FLV', file: 'in.flv' },
  asf: { name: 'WMV', file: 'in.wmv' },
  mpg: { name: 'MPEG-PS', file: 'in.mpg' },
};

/** Enough for every signature that matters; the rest of the file is not looked at. */
export const sniffBytes = 4_100;

/** The format of a file, by its first bytes; `null` for one that is not taken. */
export async function sniff(path: string): Promise<MediaFormat | null> {
  return await sniffBuffer(await readStart(path));
}

/** As much of a file as `sniffBuffer` needs. */
export async function readStart(path: string): Promise<Uint8Array> {
  await using file = await open(path);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(sniffBytes), 0, sniffBytes, 0);
  return buffer.subarray(0, bytesRead);
}

/** The format of a file, by its first bytes; `null` for one that is not taken. */
export async function sniffBuffer(head: Uint8Array): Promise<MediaFormat | null> {
  const type = await fileTypeFromBuffer(head);
  if (!type) return isTiff(head) ? 'tiff' : null;
  const format = formats[type.ext] ?? null;
  return format === 'heic' && saysAvif(head) ? 'avif' : format;
}

/** The first brand may be that of any HEIF; the others tell what its picture is coded with. */
function saysAvif(head: Uint8Array): boolean {
  const box = Buffer.from(head.subarray(0, Buffer.from(head).readUInt32BE(0)));
  const brands = box.toString('latin1', 16).match(/.{4}/gs) ?? [];
  return brands.some((brand) => brand === 'avif' || brand === 'avis');
}

/** Why a file is not taken that begins so. */
export async function unsupported(head: Uint8Array): Promise<GatewayError> {
  const type = await fileTypeFromBuffer(head);
  const other = otherContainers[type?.ext ?? ''];
  if (other) return remuxFirst(`${other.name} is not taken`, other.file);
  const known = [...imageFormats, ...videoFormats, ...audioFormats].join(', ');
  return new GatewayError('media_unsupported', `The source is none of the known types: ${known}`);
}

/** Missing times are made up (`genpts`): AVI has none, and Matroska takes no packet without. */
export function remuxFirst(fault: string, file: string): GatewayError {
  return new GatewayError(
    'media_unsupported',
    `${fault}; put its streams into Matroska, without loss: ffmpeg -fflags +genpts -i ${file} -c copy out.mkv`,
  );
}

/** file-type looks into the table of a TIFF, which mostly lies behind the pixels. */
function isTiff(head: Uint8Array): boolean {
  const signature = Buffer.from(head.subarray(0, 4)).toString('latin1');
  return signature === 'II*\0' || signature === 'MM\0*';
}
