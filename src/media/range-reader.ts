import { open } from 'node:fs/promises';

/** Bytes that are somewhere else, such as behind HTTP with Range. */
export interface RangeReader {
  /** Bytes. */
  readonly size: number;
  read(start: number, endExclusive: number, signal: AbortSignal): Promise<Uint8Array>;
}

export interface FileReader extends RangeReader, AsyncDisposable {}

/** What a file claims of its boxes is not memory that we give. */
const maxReadBytes = 32 * 1024 * 1024;

export async function fileReader(path: string): Promise<FileReader> {
  const file = await open(path);
  const { size } = await file.stat();
  return {
    size,
    async read(start, endExclusive) {
      if (endExclusive - start > maxReadBytes) throw new Error('It asks for too much at once');
      const { buffer, bytesRead } = await file.read({
        buffer: Buffer.alloc(endExclusive - start),
        position: start,
      });
      return buffer.subarray(0, bytesRead);
    },
    [Symbol.asyncDispose]: () => file.close(),
  };
}
