import type { ClipStart } from '../../core/made-clip.ts';
import { children, type Element, readNumber } from './ebml.ts';
import type { Scanner } from './edit.ts';
import { headOf } from './matroska.ts';

/** RFC 9559 §5.1. */
const ids = {
  tracks: 0x1654ae6b,
  trackEntry: 0xae,
  trackNumber: 0xd7,
  trackType: 0x83,
  simpleBlock: 0xa3,
  blockGroup: 0xa0,
  block: 0xa1,
  referenceBlock: 0xfb,
};
const videoType = 1;
/** Sound may come first. */
const mostBlocks = 100;

/** By the first block of the first video track; no table counts the blocks. */
export async function matroskaClipStart(file: Scanner): Promise<ClipStart> {
  const { head, cluster } = await headOf(file);
  const tracks = head.find(({ id }) => id === ids.tracks);
  const number = tracks ? await videoTrack(file, tracks) : null;
  const isKey = number !== null && cluster ? await isFirstKey(file, cluster, number) : null;
  return { isKey, frames: null };
}

async function videoTrack(file: Scanner, tracks: Element): Promise<number | null> {
  for await (const entry of children(file, tracks)) {
    if (entry.id !== ids.trackEntry) continue;
    let number: number | null = null;
    let type = 0;
    for await (const { id, content, end } of children(file, entry)) {
      if (id === ids.trackNumber) number = await readNumber(file, content, end);
      if (id === ids.trackType) type = await readNumber(file, content, end);
    }
    if (type === videoType) return number;
  }
  return null;
}

async function isFirstKey(file: Scanner, cluster: Element, track: number): Promise<boolean | null> {
  let blocks = 0;
  for await (const each of children(file, cluster)) {
    if (each.id !== ids.simpleBlock && each.id !== ids.blockGroup) continue;
    blocks += 1;
    if (blocks > mostBlocks) return null;
    const isGroup = each.id === ids.blockGroup;
    const parts = isGroup ? await all(file, each) : [each];
    const block = parts.find(({ id }) => id === (isGroup ? ids.block : ids.simpleBlock));
    if (!block) continue;
    const { value, flags } = await headerOf(file, block);
    if (value !== track) continue;
    if (isGroup) return parts.every(({ id }) => id !== ids.referenceBlock);
    return (flags & 0x80) !== 0;
  }
  return null;
}

async function all(file: Scanner, parent: Element): Promise<Element[]> {
  return await Array.fromAsync(children(file, parent));
}

/** Of which track it is, and its flags, behind the time. */
async function headerOf(
  file: Scanner,
  { content }: Element,
): Promise<{ readonly value: number; readonly flags: number }> {
  const [first = 0, second = 0] = await file.bytes(content, 2);
  const length = Math.clz32(first) - 24 + 1;
  if (length > 2) return { value: -1, flags: 0 };
  const value = length === 1 ? first & 0x7f : ((first & 0x3f) << 8) | second;
  const [flags = 0] = await file.bytes(content + length + 2, 1);
  return { value, flags };
}
