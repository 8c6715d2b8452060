import { type Edit, nothing, type Scanner } from './edit.ts';

const extension = 0x21;
const image = 0x2c;
const trailer = 0x3b;
const comment = 0xfe;
const application = 0xff;
/** How often an animation is repeated. */
const loops = new Set(['NETSCAPE2.0', 'ANIMEXTS1.0']);
const headBytes = 13;

/** Takes out comments, and what applications keep there for themselves (GIF89a §24, §26). */
export async function gifEdits(file: Scanner): Promise<Edit[]> {
  const edits: Edit[] = [];
  const head = await file.bytes(0, headBytes);
  for (let start = headBytes + tableBytes(head.readUInt8(10)); ; ) {
    const [kind] = await file.bytes(start, 1);
    if (kind === trailer) return edits;
    if (kind === image) {
      const flags = (await file.bytes(start + 9, 1)).readUInt8(0);
      start = await endOfBlocks(file, start + 11 + tableBytes(flags));
    } else if (kind === extension) {
      const end = await endOfBlocks(file, start + 2);
      if (await isSaid(file, start)) edits.push({ start, end, bytes: nothing });
      start = end;
    } else throw new Error('It is not whole');
  }
}

async function isSaid(file: Scanner, start: number): Promise<boolean> {
  const [label, length = 0] = await file.bytes(start + 1, 2);
  if (label === comment) return true;
  if (label !== application) return false;
  return !loops.has((await file.bytes(start + 3, length)).toString('latin1'));
}

/** A colour table's size is in three bits of the flags. */
function tableBytes(flags: number): number {
  return (flags & 0x80) === 0 ? 0 : 3 * 2 ** ((flags & 7) + 1);
}

async function endOfBlocks(file: Scanner, start: number): Promise<number> {
  for (let at = start; ; ) {
    const [length = 0] = await file.bytes(at, 1);
    at += length + 1;
    if (length === 0) return at;
  }
}
