import type { Edit, Scanner } from './edit.ts';

/** Tags with tables of their own: EXIF and GPS. */
const tables = new Set([34665, 34853]);
/** Tags of texts, XMP, IPTC and Photoshop (TIFF 6.0 §8, and those that Windows writes). */
const said = new Set([
  ...[269, 270, 271, 272, 285, 305, 306, 315, 316, 700, 33432, 33723, 34377, 37724],
  ...[37510, 40091, 40092, 40093, 40094, 40095],
  ...tables,
]);
/** Bytes of a value, by its type. */
const typeBytes = [0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4];
const entryBytes = 12;
/** Pages of a file. */
const mostTables = 1_000;

/** Takes entries out of the tables, and blanks what they pointed to: nothing else moves. */
export async function tiffEdits(file: Scanner): Promise<Edit[]> {
  const edits: Edit[] = [];
  const head = await file.bytes(0, 8);
  const tiff: Tiff = { file, isLittle: head.toString('latin1', 0, 2) === 'II' };
  let start = u32(tiff, head, 4);
  for (let pages = 0; start !== 0; pages += 1) {
    if (pages === mostTables) throw new Error('It has too many pages');
    const table = await readTable(tiff, start);
    const dropped = table.entries.filter(({ tag }) => said.has(tag));
    if (dropped.length > 0) {
      const kept = table.entries.filter(({ tag }) => !said.has(tag));
      edits.push({ start, end: table.end, bytes: tableOf(tiff, table, kept) });
      for (const entry of dropped) edits.push(...(await blanked(tiff, entry)));
    }
    start = u32(tiff, table.next, 0);
  }
  return edits.sort((a, b) => a.start - b.start);
}

interface Tiff {
  readonly file: Scanner;
  readonly isLittle: boolean;
}

interface Entry {
  readonly tag: number;
  readonly raw: Buffer;
}

interface Table {
  readonly entries: readonly Entry[];
  /** Where the next one is, as it is written. */
  readonly next: Buffer;
  readonly end: number;
}

async function readTable(tiff: Tiff, start: number): Promise<Table> {
  const { file } = tiff;
  const count = u16(tiff, await file.bytes(start, 2), 0);
  const end = start + 2 + count * entryBytes + 4;
  const bytes = Buffer.from(await file.bytes(start, end - start));
  const entries = Array.from({ length: count }, (_, index) => {
    const raw = bytes.subarray(2 + index * entryBytes, 2 + (index + 1) * entryBytes);
    return { tag: u16(tiff, raw, 0), raw };
  });
  return { entries, next: bytes.subarray(-4), end };
}

/** In as much room as there was. */
function tableOf({ isLittle }: Tiff, { entries, next }: Table, kept: readonly Entry[]): Buffer {
  const bytes = Buffer.alloc(2 + entries.length * entryBytes + 4);
  if (isLittle) bytes.writeUInt16LE(kept.length);
  else bytes.writeUInt16BE(kept.length);
  Buffer.concat([...kept.map(({ raw }) => raw), next]).copy(bytes, 2);
  return bytes;
}

async function blanked(tiff: Tiff, { tag, raw }: Entry): Promise<Edit[]> {
  const [at, bytes] = [u32(tiff, raw, 8), valueBytes(tiff, raw)];
  if (!tables.has(tag)) {
    // Up to four bytes stand in the entry itself.
    return bytes > 4 ? [{ start: at, end: at + bytes, bytes: 'zeros' }] : [];
  }
  const { entries, end } = await readTable(tiff, at);
  const inside = entries.filter((entry) => valueBytes(tiff, entry.raw) > 4);
  return [
    { start: at, end, bytes: 'zeros' },
    ...inside.map(({ raw }) => {
      const start = u32(tiff, raw, 8);
      return { start, end: start + valueBytes(tiff, raw), bytes: 'zeros' as const };
    }),
  ];
}

function valueBytes(tiff: Tiff, raw: Buffer): number {
  return (typeBytes[u16(tiff, raw, 2)] ?? 1) * u32(tiff, raw, 4);
}

function u16({ isLittle }: Tiff, bytes: Buffer, at: number): number {
  return isLittle ? bytes.readUInt16LE(at) : bytes.readUInt16BE(at);
}

function u32({ isLittle }: Tiff, bytes: Buffer, at: number): number {
  return isLittle ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at);
}
