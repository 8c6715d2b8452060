import type { Scanner } from './edit.ts';

/** An element of RFC 8794, of which Matroska and WebM are made. */
export interface Element {
  readonly id: number;
  readonly start: number;
  readonly content: number;
  readonly end: number;
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
