import { type Edit, nothing, type Scanner } from './edit.ts';

const signature = 'fLaC';
const headBytes = 4;
const lastFlag = 0x80;
/** Blocks that say something of the sound (RFC 9639 §8): what an application noted, and comments. */
const said = new Set([2, 4]);

interface Block {
  readonly type: number;
  readonly isLast: boolean;
  readonly start: number;
  readonly end: number;
}

/** Takes blocks out. Those that stay tell which of them is the last one. */
export async function flacEdits(file: Scanner): Promise<Edit[]> {
  const blocks = await blocksOf(file);
  const removed = blocks.filter(({ type }) => said.has(type));
  const edits: Edit[] = removed.map(({ start, end }) => ({ start, end, bytes: nothing }));
  const last = blocks.findLast(({ type }) => !said.has(type));
  if (last && !last.isLast) {
    const { start, type } = last;
    edits.push({ start, end: start + 1, bytes: Buffer.from([lastFlag | type]) });
  }
  return edits.sort((a, b) => a.start - b.start);
}

async function blocksOf(file: Scanner): Promise<Block[]> {
  if ((await file.bytes(0, 4)).toString('latin1') !== signature) throw new Error('It is no FLAC');
  const blocks: Block[] = [];
  for (let start = signature.length; ; ) {
    const head = await file.bytes(start, headBytes);
    const first = head.readUInt8(0);
    const end = start + headBytes + head.readUIntBE(1, 3);
    if (end > file.size) throw new Error('It is not whole');
    const isLast = (first & lastFlag) !== 0;
    blocks.push({ type: first & ~lastFlag, isLast, start, end });
    if (isLast) return blocks;
    start = end;
  }
}
