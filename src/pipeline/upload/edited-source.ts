import { Readable } from 'node:stream';
import type { Edit } from '../../media/metadata/edit.ts';
import type { ByteSource } from '../../storage/object-store.ts';

/** A stretch of the edited file: of the original from `from` on, of other bytes, or of zeros. */
interface Stretch {
  /** In the edited file. */
  readonly start: number;
  readonly length: number;
  readonly of: { readonly from: number } | Uint8Array | 'zeros';
}

const zeros = Buffer.alloc(64 * 1024);

/** The source with its edits, which are in order: it can be read from anywhere, as the source can. */
export function editedSource(source: ByteSource, edits: readonly Edit[]): ByteSource {
  if (edits.length === 0) return source;
  const stretches = stretchesOf(source.size, edits);
  const size = stretches.reduce((sum, { length }) => sum + length, 0);
  return {
    size,
    open: async (range, signal) => {
      const { start, end } = range ?? { start: 0, end: size - 1 };
      const bytes = read(source, stretches, start, end + 1, signal);
      return Readable.from(bytes, { objectMode: false });
    },
  };
}

function stretchesOf(size: number, edits: readonly Edit[]): Stretch[] {
  const stretches: Stretch[] = [];
  let at = 0;
  let from = 0;
  const add = (length: number, of: Stretch['of']) => {
    if (length > 0) stretches.push({ start: at, length, of });
    at += length;
  };
  for (const { start, end, bytes } of edits) {
    add(start - from, { from });
    add(bytes === 'zeros' ? end - start : bytes.length, bytes);
    from = end;
  }
  add(size - from, { from });
  return stretches;
}

async function* read(
  source: ByteSource,
  stretches: readonly Stretch[],
  start: number,
  endExclusive: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  for (const stretch of stretches) {
    const from = Math.max(start - stretch.start, 0);
    const to = Math.min(endExclusive - stretch.start, stretch.length);
    if (from >= to) continue;
    if (stretch.of === 'zeros') yield* zerosOf(to - from);
    else if (stretch.of instanceof Uint8Array) yield stretch.of.subarray(from, to);
    else {
      const range = { start: stretch.of.from + from, end: stretch.of.from + to - 1 };
      yield* await source.open(range, signal);
    }
  }
}

function* zerosOf(count: number): Generator<Uint8Array> {
  for (let left = count; left > 0; left -= zeros.length) {
    yield zeros.subarray(0, Math.min(left, zeros.length));
  }
}
