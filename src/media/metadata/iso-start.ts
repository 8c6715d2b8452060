import type { ClipStart } from '../../core/made-clip.ts';
import type { Scanner } from './edit.ts';
import {
  boxesIn,
  findBox,
  type IsoBox,
  tableBytes,
  videoEntries,
  videoEntryBytes,
} from './iso-boxes.ts';
import { isKeyPacket } from './key-packet.ts';

/** Enough for what stands in front of the first slice. */
const mostPacketBytes = 4_096;
/** Version and flags, which begin a full box. */
const fullBytes = 4;

/** By the sample tables of the first video track (ISO 14496-12 §8.5 to §8.7); fragments have none. */
export async function isoClipStart(file: Scanner): Promise<ClipStart> {
  const tables = await tablesOf(file);
  if (!tables) return { isKey: null, frames: null };
  const { entry, table } = tables;
  const sizes = await table('stsz');
  if (!sizes) return { isKey: null, frames: null };
  const [each, frames] = await words(file, sizes, fullBytes, 2);
  if (!frames) return { isKey: null, frames: null };
  const [first = 0] = each ? [each] : await words(file, sizes, fullBytes + 8, 1);
  const sync = await table('stss');
  const [count = 0, firstSync] = sync ? await words(file, sync, fullBytes, 2) : [];
  if (sync) return { isKey: count > 0 && firstSync === 1, frames };
  // Without that table each sample claims to be one, also where all that were have gone.
  const at = await offsetOf(file, table);
  if (at === null || first === 0) return { isKey: null, frames };
  const packet = await file.bytes(at, Math.min(first, mostPacketBytes, file.size - at));
  return { isKey: isKeyPacket(entry.type, packet, await lengthBytes(file, entry)), frames };
}

type Table = (type: string) => Promise<IsoBox | null>;

async function tablesOf(
  file: Scanner,
): Promise<{ readonly entry: IsoBox; readonly table: Table } | null> {
  const movie = await findBox(file, 0, file.size, 'moov');
  if (!movie) return null;
  for await (const track of boxesIn(file, movie.content, movie.end)) {
    if (track.type !== 'trak') continue;
    let within: IsoBox | null = track;
    for (const type of ['mdia', 'minf', 'stbl']) {
      within = within && (await findBox(file, within.content, within.end, type));
    }
    const entries: IsoBox | null =
      within && (await findBox(file, within.content, within.end, 'stsd'));
    if (!within || !entries) continue;
    const { content, end } = within;
    const table: Table = (type) => findBox(file, content, end, type);
    for await (const entry of boxesIn(file, entries.content + tableBytes, entries.end)) {
      if (videoEntries.has(entry.type)) return { entry, table };
    }
  }
  return null;
}

/** Where the first chunk lies, and with it the first sample. */
async function offsetOf(file: Scanner, table: Table): Promise<number | null> {
  const short = await table('stco');
  if (short) return (await words(file, short, tableBytes, 1))[0] ?? null;
  const long = await table('co64');
  if (!long || long.end < long.content + tableBytes + 8) return null;
  return Number((await file.bytes(long.content + tableBytes, 8)).readBigUInt64BE());
}

/** By how many bytes a unit of the packet tells its length. */
async function lengthBytes(file: Scanner, entry: IsoBox): Promise<number> {
  const start = entry.content + videoEntryBytes;
  const avc = await findBox(file, start, entry.end, 'avcC');
  const hevc = avc ? null : await findBox(file, start, entry.end, 'hvcC');
  const config = avc ?? hevc;
  if (!config) return 4;
  const [flags = 3] = await file.bytes(config.content + (avc ? 4 : 21), 1);
  return (flags & 3) + 1;
}

async function words(
  file: Scanner,
  { content, end }: IsoBox,
  offset: number,
  count: number,
): Promise<number[]> {
  const available = Math.min(count, Math.floor((end - content - offset) / 4));
  if (available <= 0) return [];
  const bytes = await file.bytes(content + offset, available * 4);
  return Array.from({ length: available }, (_, index) => bytes.readUInt32BE(index * 4));
}
