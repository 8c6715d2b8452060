import type { Scanner } from './edit.ts';

/** A box of ISO 14496-12, of which films and AVIF are made. */
export interface IsoBox {
  readonly type: string;
  readonly start: number;
  /** Where what is in it begins. */
  readonly content: number;
  readonly end: number;
}

/** @throws Error for a box that is longer than what it lies in. */
export async function* boxesIn(file: Scanner, start: number, end: number): AsyncGenerator<IsoBox> {
  for (let at = start; at + 8 <= end; ) {
    const box = await readBox(file, at, end);
    yield box;
    at = box.end;
  }
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
