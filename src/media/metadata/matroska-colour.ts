import type { ColourTag, MadeColour } from '../../core/made-clip.ts';
import { children, type Element, readNumber } from './ebml.ts';
import { type Edit, nothing, type Scanner } from './edit.ts';
import { trueTag } from './wish.ts';

/** RFC 9559 §5.1. */
const ids = {
  seekHead: 0x114d9b74,
  seekPosition: 0x53ac,
  info: 0x1549a966,
  muxingApp: 0x4d80,
  tracks: 0x1654ae6b,
  trackEntry: 0xae,
  trackType: 0x83,
  video: 0xe0,
  colour: 0x55b0,
  matrix: 0x55b1,
  transfer: 0x55ba,
  primaries: 0x55bb,
  checksum: 0xbf,
  void: 0xec,
};
const videoType = 1;

/**
 * Tells the colours of the first video track. FFmpeg leaves a void element between the index of the segment and
 * the tracks: those move into it by as much as they grow, and the index is told. What lies behind them, the
 * samples above all, stays where it is. Files of another build, or with checksums, are left as they are.
 */
export async function colourEdits(
  file: Scanner,
  segment: Element,
  head: readonly Element[],
  colour: MadeColour,
): Promise<Edit[]> {
  const seekHead = head.find(({ id }) => id === ids.seekHead);
  const space = head.find(({ id }) => id === ids.void);
  const tracks = head.find(({ id }) => id === ids.tracks);
  if (!space || !tracks || space.start > tracks.start) return [];
  if (await hasChecksum(file, [...(seekHead ? [seekHead] : []), tracks])) return [];
  const path = await pathToVideo(file, tracks);
  const video = path.at(-1);
  if (!video || (await child(file, video, ids.colour))) return [];

  const element = colourElement(trueTag(colour, await writerOf(file, head)));
  const edits: Edit[] = [{ start: video.end, end: video.end, bytes: element }];
  let longer = element.length;
  for (const parent of path.toReversed()) {
    const size = await resized(file, parent, longer);
    edits.push(size);
    longer += size.bytes.length - (size.end - size.start);
  }
  const left = await resized(file, space, -longer);
  const isRoomy =
    space.end - space.content >= longer && left.bytes.length === left.end - left.start;
  const isFarther = seekHead !== undefined && seekHead.start > space.start;
  if (!isRoomy || isFarther) return [];
  edits.push(left, { start: space.end - longer, end: space.end, bytes: nothing });
  if (seekHead) {
    edits.push(
      ...(await movedIn(file, segment, seekHead, { from: space.end, to: tracks.end }, longer)),
    );
  }
  return edits;
}

/** Elements that hold the tracks' one for pictures, the outermost first. */
async function pathToVideo(file: Scanner, tracks: Element): Promise<Element[]> {
  for await (const entry of children(file, tracks)) {
    if (entry.id !== ids.trackEntry) continue;
    const type = await child(file, entry, ids.trackType);
    if (!type || (await readNumber(file, type.content, type.end)) !== videoType) continue;
    const video = await child(file, entry, ids.video);
    return video ? [tracks, entry, video] : [];
  }
  return [];
}

async function hasChecksum(file: Scanner, elements: readonly Element[]): Promise<boolean> {
  const found = await Promise.all(elements.map((each) => child(file, each, ids.checksum)));
  return found.some((each) => each !== null);
}

async function child(file: Scanner, parent: Element, id: number): Promise<Element | null> {
  for await (const each of children(file, parent)) if (each.id === id) return each;
  return null;
}

async function writerOf(file: Scanner, head: readonly Element[]): Promise<string> {
  const info = head.find(({ id }) => id === ids.info);
  const app = info && (await child(file, info, ids.muxingApp));
  return app ? (await file.bytes(app.content, app.end - app.content)).toString('latin1') : '';
}

function colourElement({ primaries, transfer, matrix }: ColourTag): Buffer {
  const values = [
    [ids.matrix, matrix],
    [ids.transfer, transfer],
    [ids.primaries, primaries],
  ] as const;
  const content = Buffer.concat(
    values.map(([id, value]) => Buffer.from([id >> 8, id & 0xff, 0x81, value])),
  );
  return Buffer.concat([
    Buffer.from([ids.colour >> 8, ids.colour & 0xff, 0x80 | content.length]),
    content,
  ]);
}

/** The size of an element, as long as it was or longer. */
async function resized(
  file: Scanner,
  { start, content, end }: Element,
  by: number,
): Promise<Edit & { readonly bytes: Uint8Array }> {
  const [first = 0] = await file.bytes(start, 1);
  const sizeAt = start + Math.clz32(first) - 24 + 1;
  return { start: sizeAt, end: content, bytes: sizeOf(end - content + by, content - sizeAt) };
}

/** A number behind as many zeros as there are bytes, less one; all ones would mean that nobody knows. */
function sizeOf(value: number, atLeast: number): Buffer {
  let length = atLeast;
  while (length < 8 && value >= 2 ** (7 * length) - 1) length += 1;
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(Math.max(value, 0)) | (1n << BigInt(7 * length)));
  return bytes.subarray(8 - length);
}

/** What the index says of elements that begin so many bytes earlier. */
async function movedIn(
  file: Scanner,
  segment: Element,
  seekHead: Element,
  { from, to }: { readonly from: number; readonly to: number },
  by: number,
): Promise<Edit[]> {
  const edits: Edit[] = [];
  for await (const seek of children(file, seekHead)) {
    const position = await child(file, seek, ids.seekPosition);
    if (!position || position.end - position.content > 8) continue;
    const { content: start, end } = position;
    const at = await readNumber(file, start, end);
    if (segment.content + at < from || segment.content + at >= to) continue;
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(BigInt(at - by));
    edits.push({ start, end, bytes: bytes.subarray(8 - (end - start)) });
  }
  return edits;
}
