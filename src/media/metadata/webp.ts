import { type Edit, nothing, type Scanner } from './edit.ts';
import { onlyOrientation } from './orientation.ts';

/** Chunks of the picture (RFC 9649 §2.7); others are said of it. */
const shown = new Set(['VP8 ', 'VP8L', 'VP8X', 'ALPH', 'ANIM', 'ANMF', 'ICCP']);
const headBytes = 12;
const exifFlag = 0x08;
const xmpFlag = 0x04;

export async function webpEdits(file: Scanner): Promise<Edit[]> {
  const riff = await file.bytes(0, headBytes);
  const end = riff.readUInt32LE(4) + 8;
  const edits: Edit[] = [];
  let flagsAt: number | null = null;
  let keepsExif = false;
  for (let start = headBytes; start + 8 <= end; ) {
    const head = await file.bytes(start, 8);
    const type = head.toString('latin1', 0, 4);
    const bytes = head.readUInt32LE(4);
    // A chunk of odd length is filled up.
    const next = start + 8 + bytes + (bytes % 2);
    if (next > file.size) throw new Error('It is not whole');
    if (type === 'VP8X') flagsAt = start + 8;
    if (!shown.has(type)) {
      const exif = type === 'EXIF' ? await file.bytes(start + 8, bytes) : null;
      const orientation = exif && onlyOrientation(withoutMark(exif));
      keepsExif ||= orientation !== null;
      edits.push({ start, end: next, bytes: orientation ? chunk(orientation) : nothing });
    }
    start = next;
  }
  if (edits.length === 0) return [];
  const removed = edits.reduce((sum, edit) => sum + edit.end - edit.start - edit.bytes.length, 0);
  const size = Buffer.alloc(4);
  size.writeUInt32LE(end - 8 - removed);
  const all = [{ start: 4, end: 8, bytes: size }, ...edits];
  if (flagsAt !== null) {
    const [flags = 0] = await file.bytes(flagsAt, 1);
    const kept = (flags & ~xmpFlag & ~exifFlag) | (keepsExif ? exifFlag : 0);
    all.push({ start: flagsAt, end: flagsAt + 1, bytes: Buffer.from([kept]) });
  }
  return all.sort((a, b) => a.start - b.start);
}

/** Some write EXIF as JPEG has it. */
function withoutMark(exif: Buffer): Buffer {
  return exif.toString('latin1', 0, 6) === 'Exif\0\0' ? exif.subarray(6) : exif;
}

function chunk(exif: Buffer): Buffer {
  const head = Buffer.from('EXIF\0\0\0\0', 'latin1');
  head.writeUInt32LE(exif.length, 4);
  return Buffer.concat([head, exif]);
}
