import type { Edit, Scanner } from './edit.ts';

type Header = Record<string, unknown>;

/** In place of a header in JSON, a shorter one of the same length: spaces fill it up. */
async function rewritten(
  file: Scanner,
  start: number,
  length: number,
  without: (header: Header) => Header,
): Promise<Edit[]> {
  const text = changed((await file.bytes(start, length)).toString('utf8'), without);
  if (text.length > length) throw new Error('Its header becomes no shorter');
  const filled = Buffer.alloc(length, ' ');
  text.copy(filled);
  return [{ start, end: start + length, bytes: filled }];
}

/** @throws Error for what is no object, or is nested too deeply. */
function changed(text: string, change: (header: Header) => Header): Buffer {
  try {
    const header: unknown = JSON.parse(text);
    if (typeof header === 'object') return Buffer.from(JSON.stringify(change({ ...header })));
  } catch {
    // The language says what is wrong with the text, which nobody wrote.
  }
  throw new Error('Its header is no object');
}

/** glTF 2.0 §4.4: twelve bytes of head, then the chunk with the description, before that with the numbers. */
export async function glbEdits(file: Scanner): Promise<Edit[]> {
  const head = await file.bytes(0, 20);
  const isGlb = head.toString('latin1', 0, 4) === 'glTF' && head.readUInt32LE(4) === 2;
  if (!isGlb || head.toString('latin1', 16, 20) !== 'JSON') throw new Error('It is no GLB');
  return await rewritten(file, head.length, head.readUInt32LE(12), ({ asset, ...rest }) => {
    const { extras: _, ...kept } = (asset ?? {}) as Header;
    return { asset: kept, ...rest };
  });
}

/** Safetensors: the length of the header, the header, and what it speaks of. */
export async function latentEdits(file: Scanner): Promise<Edit[]> {
  const length = Number((await file.bytes(0, 8)).readBigUInt64LE());
  return await rewritten(file, 8, length, ({ __metadata__: _, ...tensors }) => tensors);
}
