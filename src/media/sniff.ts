import { open } from 'node:fs/promises';
import { fileTypeFromBuffer } from 'file-type';
import type { MediaFormat } from '../core/media.ts';

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

/** file-type looks into the table of a TIFF, which mostly lies behind the pixels. */
function isTiff(head: Uint8Array): boolean {
  const signature = Buffer.from(head.subarray(0, 4)).toString('latin1');
  return signature === 'II*\0' || signature === 'MM\0*';
}
