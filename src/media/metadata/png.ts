import { crc32 } from 'node:zlib';
import { type Edit, nothing, type Scanner } from './edit.ts';
import { onlyOrientation } from './orientation.ts';

/**
 * What a decoder may leave out and the eye would miss (PNG 3rd edition §11.3); of a picture that moves,
 * its frames. All else that a decoder may leave out is said of the picture, not shown.
 */
const shown = new Set(
  'tRNS cHRM gAMA iCCP sBIT sRGB cICP mDCV cLLI bKGD hIST pHYs sPLT acTL fcTL fdAT'.split(' '),
);
const signatureBytes = 8;
/** PNG 3rd edition §11.3.6.2. */
const controlBytes = 26;
/** Length, name and checksum of a chunk. */
const aroundBytes = 12;

export async function pngEdits(file: Scanner): Promise<Edit[]> {
  const edits: Edit[] = [];
  for await (const { type, start, end } of chunks(file)) {
    if (isCritical(type) || shown.has(type)) continue;
    const exif = type === 'eXIf' ? await file.bytes(start + 8, end - start - aroundBytes) : null;
    const orientation = exif && onlyOrientation(exif);
    edits.push({ start, end, bytes: orientation ? chunk('eXIf', orientation) : nothing });
  }
  return edits;
}

/** How many frames an animation has, and how long they stay, milliseconds; `null` for a picture that does not move. */
export async function pngFrames(
  file: Scanner,
): Promise<{ readonly count: number; readonly delaysMs: readonly number[] } | null> {
  let count: number | null = null;
  const delaysMs: number[] = [];
  for await (const { type, start } of chunks(file)) {
    if (type === 'acTL') count = (await file.bytes(start + 8, 4)).readUInt32BE();
    if (type === 'IDAT' && count === null) return null;
    if (type !== 'fcTL') continue;
    const control = await file.bytes(start + 8, controlBytes);
    // A fraction of a second; hundredths where nothing stands below.
    delaysMs.push((control.readUInt16BE(20) * 1_000) / (control.readUInt16BE(22) || 100));
  }
  return count === null ? null : { count, delaysMs };
}

async function* chunks(
  file: Scanner,
): AsyncGenerator<{ readonly type: string; readonly start: number; readonly end: number }> {
  for (let start = signatureBytes; start < file.size; ) {
    const head = await file.bytes(start, 8);
    const type = head.toString('latin1', 4, 8);
    const end = start + head.readUInt32BE(0) + aroundBytes;
    if (end > file.size) throw new Error('It is not whole');
    yield { type, start, end };
    if (type === 'IEND') return;
    start = end;
  }
}

/** A name that begins with a capital letter is of a chunk that no decoder may leave out. */
function isCritical(type: string): boolean {
  return /^[A-Z]/.test(type);
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const whole = Buffer.alloc(data.length + aroundBytes);
  whole.writeUInt32BE(data.length, 0);
  body.copy(whole, 4);
  whole.writeUInt32BE(crc32(body), 4 + body.length);
  return whole;
}
