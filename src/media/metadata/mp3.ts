import { type Edit, nothing, type Scanner } from './edit.ts';

const headBytes = 10;
const footerFlag = 0x10;
/** ID3v1, at the end of a file. */
const oldTagBytes = 128;

/** Takes the tags out (ID3v2.4 §3.1), which stand before the sound and behind it. */
export async function mp3Edits(file: Scanner): Promise<Edit[]> {
  const edits: Edit[] = [];
  let start = 0;
  while (start + headBytes <= file.size) {
    const head = await file.bytes(start, headBytes);
    if (head.toString('latin1', 0, 3) !== 'ID3') break;
    const footer = (head.readUInt8(5) & footerFlag) === 0 ? 0 : headBytes;
    start += headBytes + sizeOf(head) + footer;
    if (start > file.size) throw new Error('It is not whole');
  }
  if (start > 0) edits.push({ start: 0, end: start, bytes: nothing });
  const old = file.size - oldTagBytes;
  if (old >= start && (await file.bytes(old, 3)).toString('latin1') === 'TAG') {
    edits.push({ start: old, end: file.size, bytes: nothing });
  }
  return edits;
}

/** Seven bits of each byte count. */
function sizeOf(head: Buffer): number {
  return [6, 7, 8, 9].reduce((size, at) => size * 128 + (head.readUInt8(at) & 0x7f), 0);
}
