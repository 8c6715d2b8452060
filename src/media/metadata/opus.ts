import type { Edit, Scanner } from './edit.ts';

const headBytes = 27;
const checksumAt = 22;
const begins = 'OpusTags';
/** No graph needs more of them: each holds 65 kB. */
const mostPages = 4_000;

/**
 * Takes the comments out of an Opus stream (RFC 7845 §5.2). What follows them in their packet does not count, so
 * that they may become zeros: all pages keep their place and their number, and those of the comments get new
 * checksums (RFC 3533 §6).
 */
export async function opusEdits(file: Scanner): Promise<Edit[]> {
  const edits: Edit[] = [];
  const first = await pageAt(file, 0);
  let start = first.end;
  for (let pages = 0; pages < mostPages; pages += 1) {
    const page = await pageAt(file, start);
    if (page.stream !== first.stream || page.hasMore) throw new Error('Its comments share a page');
    const isFirst = pages === 0;
    const kept = isFirst ? await withoutComments(file, page) : Buffer.alloc(0);
    edits.push(...emptied(page, kept));
    // A page that ends with a whole packet ends with the last one of the comments.
    if (page.isPacketOver) return edits;
    start = page.end;
  }
  throw new Error('It has no end');
}

interface Page {
  readonly start: number;
  readonly head: Buffer;
  readonly content: number;
  readonly end: number;
  readonly isPacketOver: boolean;
  /** Whether another packet begins in it. */
  readonly hasMore: boolean;
  readonly stream: number;
}

async function pageAt(file: Scanner, start: number): Promise<Page> {
  const fixed = await file.bytes(start, headBytes);
  if (fixed.toString('latin1', 0, 4) !== 'OggS') throw new Error('It is no Ogg');
  const segments = fixed.readUInt8(26);
  const head = await file.bytes(start, headBytes + segments);
  const lengths = [...head.subarray(headBytes)];
  const content = start + head.length;
  const end = content + lengths.reduce((sum, length) => sum + length, 0);
  if (end > file.size) throw new Error('It is not whole');
  const over = lengths.findIndex((length) => length < 255);
  return {
    ...{ start, head, content, end },
    isPacketOver: over >= 0,
    hasMore: over >= 0 && over < lengths.length - 1,
    stream: head.readUInt32LE(14),
  };
}

/** The name of the packet and of its encoder, and that no comment follows. */
async function withoutComments(file: Scanner, { content, end }: Page): Promise<Buffer> {
  const head = await file.bytes(content, begins.length + 4);
  if (head.toString('latin1', 0, begins.length) !== begins) throw new Error('It has no comments');
  const bytes = head.length + head.readUInt32LE(begins.length);
  if (content + bytes + 4 > end) throw new Error('It is not whole');
  return Buffer.concat([await file.bytes(content, bytes), Buffer.alloc(4)]);
}

/** The page with these bytes in front of zeros. */
function emptied({ start, head, content, end }: Page, kept: Buffer): Edit[] {
  const page = Buffer.alloc(end - start);
  head.copy(page);
  page.writeUInt32LE(0, checksumAt);
  kept.copy(page, head.length);
  const checksum = Buffer.alloc(4);
  checksum.writeUInt32LE(checksumOf(page));
  const at = start + checksumAt;
  return [
    { start: at, end: at + 4, bytes: checksum },
    { start: content, end: content + kept.length, bytes: kept },
    { start: content + kept.length, end, bytes: 'zeros' },
  ];
}

const polynomial = 0x04c11db7;
const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte << 24;
  for (let bit = 0; bit < 8; bit += 1) value = (value << 1) ^ (value < 0 ? polynomial : 0);
  return value;
});

/** Not that of zlib: the bits are in their order, and nothing is turned round. */
function checksumOf(bytes: Uint8Array): number {
  let sum = 0;
  for (const byte of bytes) sum = (sum << 8) ^ (table[(sum >>> 24) ^ byte] ?? 0);
  return sum >>> 0;
}
