import type { Scanner } from './edit.ts';
import { boxesIn } from './iso-boxes.ts';

/** What libvips does not tell of a HEIF. */
export interface HeifFacts {
  /** As ITU-T H.273 counts them; 2, which is nothing, where it does not say. */
  readonly primaries: number;
  readonly transfer: number;
}

/** Where its properties lie. */
const path = ['meta', 'iprp', 'ipco', 'colr'];
const unsaid: HeifFacts = { primaries: 2, transfer: 2 };

/**
 * What the first picture that says it by numbers says of them.
 *
 * @throws Error for a file that was cut off.
 */
export async function heifFacts(file: Scanner): Promise<HeifFacts> {
  let found = unsaid;
  const walk = async (start: number, end: number, depth: number): Promise<void> => {
    for await (const { type, content, end: boxEnd } of boxesIn(file, start, end)) {
      if (type !== path[depth] || found !== unsaid) continue;
      // `meta` begins with a version, the others do not.
      const inside = type === 'meta' ? content + 4 : content;
      if (type === 'colr') found = await numbersIn(file, content, boxEnd);
      else await walk(inside, boxEnd, depth + 1);
    }
  };
  await walk(0, file.size, 0);
  return found;
}

async function numbersIn(file: Scanner, start: number, end: number): Promise<HeifFacts> {
  if (end - start < 8) return unsaid;
  const said = await file.bytes(start, 8);
  if (said.toString('latin1', 0, 4) !== 'nclx') return unsaid;
  return { primaries: said.readUInt16BE(4), transfer: said.readUInt16BE(6) };
}
