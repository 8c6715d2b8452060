import type { Edit, Scanner } from './edit.ts';
import { boxesIn, type IsoBox } from './iso-boxes.ts';

/** Boxes that hold nothing but what is said of a film or a track (ISO 14496-12, QuickTime). */
const said = new Set(['udta', 'meta']);
/** Boxes in which those lie. */
const holders = new Set(['moov', 'trak', 'mdia']);
/** What Adobe's XMP lies in. */
const xmpBox = 'be7acfcb97a942e89c71999491e3afac';
/** A recording in fragments has thousands of boxes, and the first few say all there is to say. */
const mostBoxes = 1_000;

/**
 * Makes free space of boxes with metadata. Nothing moves, so the tables of where the samples lie stay
 * right, in whatever order the boxes come.
 */
export async function isoMediaEdits(file: Scanner): Promise<Edit[]> {
  const edits: Edit[] = [];
  let boxes = 0;
  const walk = async (start: number, end: number): Promise<void> => {
    for await (const box of boxesIn(file, start, end)) {
      boxes += 1;
      if (boxes > mostBoxes) return;
      if (said.has(box.type) || (await isXmp(file, box))) edits.push(...freed(box));
      else if (holders.has(box.type)) await walk(box.content, box.end);
    }
  };
  await walk(0, file.size);
  return edits;
}

async function isXmp(file: Scanner, { type, content, end }: IsoBox): Promise<boolean> {
  if (type !== 'uuid' || end < content + 16) return false;
  return (await file.bytes(content, 16)).toString('hex') === xmpBox;
}

function freed({ start, content, end }: IsoBox): Edit[] {
  return [
    { start: start + 4, end: start + 8, bytes: Buffer.from('free', 'latin1') },
    { start: content, end, bytes: 'zeros' },
  ];
}
