import { addAbortSignal, type Readable } from 'node:stream';
import { lengthMismatch, sourceBroke } from './errors.ts';
import type { ByteRange, ByteSource } from './object-store.ts';

/**
 * The bytes of the source, or of a part of it: as many as were announced, or an error. The last
 * chunk is held back until the source has ended, so that nobody finishes with the bytes of a source
 * whose length was wrong. Leaving the loop early closes the source; so does the signal, at once.
 */
export async function* readSource(
  source: ByteSource,
  range: ByteRange | null,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const expectedBytes = range ? range.end - range.start + 1 : source.size;
  let actualBytes = 0;
  let held: Buffer | null = null;
  for await (const chunk of chunksOf(await source.open(range, signal), signal)) {
    actualBytes += chunk.length;
    if (actualBytes > expectedBytes) break;
    if (held) yield held;
    held = chunk;
  }
  if (actualBytes !== expectedBytes) throw lengthMismatch(expectedBytes, actualBytes);
  if (held) yield held;
}

async function* chunksOf(stream: Readable, signal: AbortSignal): AsyncGenerator<Buffer> {
  try {
    yield* addAbortSignal(signal, stream);
  } catch (error) {
    signal.throwIfAborted();
    throw sourceBroke(error);
  }
}
