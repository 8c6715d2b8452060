import { children, type Element, readElement, readNumber } from './ebml.ts';
import type { Edit, Scanner } from './edit.ts';
import { colourEdits } from './matroska-colour.ts';
import type { Wish } from './wish.ts';

/** RFC 8794 §17, RFC 9559 §5.1. */
const ids = {
  ebml: 0x1a45dfa3,
  segment: 0x18538067,
  seekHead: 0x114d9b74,
  seek: 0x4dbb,
  seekTarget: 0x53ab,
  seekPosition: 0x53ac,
  cluster: 0x1f43b675,
  tags: 0x1254c367,
  void: 0xec,
};

/**
 * Makes void what is in the tags, which stay where they are: before the first cluster, or where the index of the
 * segment says. What tells the colours takes room in front of the tracks.
 */
export async function matroskaEdits(file: Scanner, wish: Wish): Promise<Edit[]> {
  const { segment, head } = await headOf(file);
  const edits: Edit[] = [];
  if (wish.colour) edits.push(...(await colourEdits(file, segment, head, wish.colour)));
  if (!wish.keepsMetadata) edits.push(...(await tagsIn(file, segment, head)).flatMap(voided));
  return edits.sort((a, b) => a.start - b.start || a.end - b.end);
}

/** What lies before the first cluster. */
export async function headOf(file: Scanner): Promise<{
  readonly segment: Element;
  readonly head: Element[];
  readonly cluster: Element | null;
}> {
  const header = await readElement(file, 0, file.size);
  const segment = await readElement(file, header.end, file.size);
  if (header.id !== ids.ebml || segment.id !== ids.segment) throw new Error('It is no Matroska');
  const head: Element[] = [];
  for await (const element of children(file, segment)) {
    if (element.id === ids.cluster) return { segment, head, cluster: element };
    head.push(element);
  }
  return { segment, head, cluster: null };
}

async function tagsIn(
  file: Scanner,
  segment: Element,
  head: readonly Element[],
): Promise<Element[]> {
  const tags = new Map<number, Element>();
  for (const element of head) {
    if (element.id === ids.tags) tags.set(element.start, element);
    if (element.id !== ids.seekHead) continue;
    for (const position of await tagsPositions(file, element)) {
      const pointed = await readElement(file, segment.content + position, segment.end);
      if (pointed.id === ids.tags) tags.set(pointed.start, pointed);
    }
  }
  return [...tags.values()];
}

/** From the beginning of what is in the segment, where the index says that there are tags. */
async function tagsPositions(file: Scanner, seekHead: Element): Promise<number[]> {
  const positions: number[] = [];
  for await (const seek of children(file, seekHead)) {
    if (seek.id !== ids.seek) continue;
    let target = 0;
    let position = 0;
    for await (const { id, content, end } of children(file, seek)) {
      if (id === ids.seekTarget) target = await readNumber(file, content, end);
      if (id === ids.seekPosition) position = await readNumber(file, content, end);
    }
    if (target === ids.tags) positions.push(position);
  }
  return positions;
}

/** One void element in place of all there is. */
function voided({ content, end }: Element): Edit[] {
  const bytes = end - content;
  if (bytes < 2) return [];
  const sizeBytes = bytes < 9 ? 1 : 8;
  const head = Buffer.alloc(1 + sizeBytes);
  head.writeUInt8(ids.void, 0);
  if (sizeBytes === 1) head.writeUInt8(0x80 | (bytes - 2), 1);
  else head.writeBigUInt64BE((2n ** 56n) | BigInt(bytes - 9), 1);
  return [
    { start: content, end: content + head.length, bytes: head },
    { start: content + head.length, end, bytes: 'zeros' },
  ];
}
