import { type Edit, nothing, type Scanner } from './edit.ts';
import { onlyOrientation } from './orientation.ts';

const startOfScan = 0xda;
const comment = 0xfe;
const exifMark = 'Exif\0\0';

/** Segments up to the first scan: behind it, decoders look for no metadata. */
export async function jpegEdits(file: Scanner): Promise<Edit[]> {
  const edits: Edit[] = [];
  for (let start = 2; ; ) {
    const head = await file.bytes(start, 4);
    const marker = head.readUInt8(1);
    if (head.readUInt8(0) !== 0xff) throw new Error('It is not whole');
    // A marker may be filled up with more of these.
    if (marker === 0xff) {
      start += 1;
      continue;
    }
    if (marker === startOfScan) return edits;
    const end = start + 2 + head.readUInt16BE(2);
    const bytes = await replacement(file, marker, start, end);
    if (bytes) edits.push({ start, end, bytes });
    start = end;
  }
}

/** What stands in place of the segment; `null` leaves it as it is. */
async function replacement(
  file: Scanner,
  marker: number,
  start: number,
  end: number,
): Promise<Uint8Array | null> {
  if (marker === comment) return nothing;
  const application = marker - 0xe0;
  if (application < 0 || application > 15) return null;
  const data = await file.bytes(start + 4, end - start - 4);
  const mark = data.toString('latin1', 0, 12);
  // How colours are meant: JFIF's density and Adobe's transform with the profile.
  if (application === 0 || application === 14 || mark === 'ICC_PROFILE\0') return null;
  const isExif = application === 1 && mark.startsWith(exifMark);
  const orientation = isExif ? onlyOrientation(data.subarray(exifMark.length)) : null;
  return orientation ? segment(marker, orientation) : nothing;
}

function segment(marker: number, exif: Buffer): Buffer {
  const data = Buffer.concat([Buffer.from(exifMark, 'latin1'), exif]);
  const head = Buffer.from([0xff, marker, 0, 0]);
  head.writeUInt16BE(data.length + 2, 2);
  return Buffer.concat([head, data]);
}
