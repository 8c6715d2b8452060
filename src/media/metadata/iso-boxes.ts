import type { Scanner } from './edit.ts';

/** A box of ISO 14496-12, of which films and AVIF are made. */
export interface IsoBox {
  readonly type: string;
  readonly start: number;
  /** Where what is in it begins. */
  readonly content: number;
  readonly end: number;
}

/** Sample entries of pictures whose codecs browsers know. */
export const videoEntries: ReadonlySet<string> = new Set(
  'avc1 avc3 hvc1 hev1 vp08 vp09 av01'.split(' '),
);
/** Version, flags and the number of entries, which begin a table. */
export const tableBytes = 8;
/** The fields of a sample entry of pictures, in front of the boxes in it. */
export const videoEntryBytes = 78;

/** @throws Error for a box that is longer than what it lies in. */
export async function* boxesIn(file: Scanner, start: number, end: number): AsyncGenerator<IsoBox> {
  for (let at = start; at + 8 <= end; ) {
    const box = await readBox(file, at, end);
    yield box;
    at = box.end;
  }
}

/** The first one of its type. */
export async function findBox(
  file: Scanner,
  start: number,
  end: number,
  type: string,
): Promise<IsoBox | null> {
  for await (const box of boxesIn(file, start, end)) if (box.type === type) return box;
  return null;
}

async function readBox(file: Scanner, start: number, outerEnd: number): Promise<IsoBox> {
  const head = await file.bytes(start, 8);
  const type = head.toString('latin1', 4, 8);
  const size = head.readUInt32BE(0);
  const isLong = size === 1;
  const long = isLong ? Number((await file.bytes(start + 8, 8)).readBigUInt64BE(0)) : size;
  const content = start + (isLong ? 16 : 8);
  // The last box may go on to the end.
  const end = size === 0 ? outerEnd : start + long;
  if (end < content || end > outerEnd) throw new Error('It is not whole');
  return { type, start, content, end };
}
