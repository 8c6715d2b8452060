import type { Edit, Scanner } from './edit.ts';

const magic = 0x01312f76;
const headBytes = 8;
/** Names have 255 characters at most. */
const nameBytes = 256;
/** Texts that tell how a file of several parts is to be read. */
const needed = new Set(['name', 'type', 'view']);
const mostAttributes = 10_000;

/**
 * Overwrites the texts in the header with spaces. A table behind it tells where the pixels are, so that nothing
 * may move.
 */
export async function exrEdits(file: Scanner): Promise<Edit[]> {
  if ((await file.bytes(0, 4)).readUInt32LE() !== magic) throw new Error('It is no EXR');
  const edits: Edit[] = [];
  let at = headBytes;
  for (let count = 0; count < mostAttributes; count += 1) {
    const name = await textAt(file, at);
    if (name === '') return edits;
    const type = await textAt(file, at + name.length + 1);
    const start = at + name.length + type.length + 2;
    const content = start + 4;
    const end = content + (await file.bytes(start, 4)).readUInt32LE();
    if (end > file.size) throw new Error('It is not whole');
    if (type === 'string' && !needed.has(name)) {
      edits.push({ start: content, end, bytes: Buffer.alloc(end - content, ' ') });
    }
    at = end;
  }
  throw new Error('Its header has no end');
}

async function textAt(file: Scanner, at: number): Promise<string> {
  const bytes = await file.bytes(at, Math.min(nameBytes, file.size - at));
  const end = bytes.indexOf(0);
  if (end < 0) throw new Error('It is not whole');
  return bytes.toString('latin1', 0, end);
}
