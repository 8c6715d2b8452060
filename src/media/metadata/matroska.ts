import type { Edit, Scanner } from './edit.ts';

/** RFC 8794 §17, RFC 9559 §5.1. */
const ids = { ebml: 0x1a45dfa3, segment: 0x18538067, seekHead: 0x114d9b74, cluster: 0x1f43b675 };
const seekId = 0x4dbb;
const seekTargetId = 0x53ab;
const seekPositionId = 0x53ac;
const tagsId = 0x1254c367;
const voidId = 0xec;

export interface Element {
  readonly id: number;
  readonly start: number;
  readonly content: number;
  readonly end: number;
}

/**
 * Makes void what is in the tags, which stay where they are. They lie before the first cluster or
 * where the index of the segment says.
 */
export async function matroskaEdits(file: Scanner): Promise<Edit[]> {
  const header = await readElement(file, 0, file.size);
  const segment = await readElement(file, header.end, file.size);
  if (header.id !== ids.ebml || segment.id !== ids.segment) throw new Error('It is no Matroska');
  const tags = new Map<number, Element>();
  const indexed: number[] = [];
  for (let at = segment.content; at < segment.end; ) {
    const element = await readElement(file, at, segment.end);
    if (element.id === ids.cluster) break;
    if (element.id === tagsId) tags.set(element.start, element);
    if (element.id === ids.seekHead) indexed.push(...(await tagsPositions(file, element)));
    at = element.end;
  }
  for (const position of indexed) {
    const element = await readElement(file, segment.content + position, segment.end);
    if (element.id === tagsId) tags.set(element.start, element);
  }
  return [...tags.values()].sort((a, b) => a.start - b.start).flatMap(voided);
}

/** From the beginning of what is in the segment, where the index says that there are tags. */
async function tagsPositions(file: Scanner, seekHead: Element): Promise<number[]> {
  const positions: number[] = [];
  for await (const seek of children(file, seekHead)) {
    if (seek.id !== seekId) continue;
    let target = 0;
    let position = 0;
    for await (const { id, content, end } of children(file, seek)) {
      if (id === seekTargetId) target = await readNumber(file, content, end);
      if (id === seekPositionId) position = await readNumber(file, content, end);
    }
    if (target === tagsId) positions.push(position);
  }
  return positions;
}

export async function* children(file: Scanner, parent: Element): AsyncGenerator<Element> {
  for (let at = parent.content; at < parent.end; ) {
    const element = await readElement(file, at, parent.end);
    yield element;
    at = element.end;
  }
}

export async function readElement(
  file: Scanner,
  start: number,
  outerEnd: number,
): Promise<Element> {
  const sizeAt = start + (await lengthAt(file, start, 4));
  const id = await readNumber(file, start, sizeAt);
  const size = await readSize(file, sizeAt);
  // Something that is streamed goes on to the end.
  const end = size.value === null ? outerEnd : size.end + size.value;
  if (end > outerEnd) throw new Error('It is not whole');
  return { id, start, content: size.end, end };
}

/** The zeros before the first one tell how many bytes follow; all others set: nobody knows. */
async function readSize(file: Scanner, at: number): Promise<{ value: number | null; end: number }> {
  const length = await lengthAt(file, at, 8);
  const [first = 0, ...rest] = await file.bytes(at, length);
  const mask = 0xff >> length;
  const isUnknown = (first & mask) === mask && rest.every((byte) => byte === 0xff);
  const value = rest.reduce((sum, byte) => sum * 256 + byte, first & mask);
  return { value: isUnknown ? null : value, end: at + length };
}

async function lengthAt(file: Scanner, at: number, longest: number): Promise<number> {
  const [first = 0] = await file.bytes(at, 1);
  const length = Math.clz32(first) - 24 + 1;
  if (length > longest) throw new Error('It is not whole');
  return length;
}

export async function readNumber(file: Scanner, start: number, end: number): Promise<number> {
  const bytes = await file.bytes(start, Math.min(end - start, 8));
  return bytes.reduce((sum, byte) => sum * 256 + byte, 0);
}

/** One void element in place of all there is. */
function voided({ content, end }: Element): Edit[] {
  const bytes = end - content;
  if (bytes < 2) return [];
  const sizeBytes = bytes < 9 ? 1 : 8;
  const head = Buffer.alloc(1 + sizeBytes);
  head.writeUInt8(voidId, 0);
  if (sizeBytes === 1) head.writeUInt8(0x80 | (bytes - 2), 1);
  else head.writeBigUInt64BE((2n ** 56n) | BigInt(bytes - 9), 1);
  return [
    { start: content, end: content + head.length, bytes: head },
    { start: content + head.length, end, bytes: 'zeros' },
  ];
}
