import { createReadStream } from 'node:fs';
import type { ByteSource } from '../storage/object-store.ts';

/** A file of ours, as the store takes it. */
export function fileSource({
  path,
  bytes,
}: {
  readonly path: string;
  readonly bytes: number;
}): ByteSource {
  return {
    size: bytes,
    open: async (range, signal) => createReadStream(path, { ...range, signal }),
  };
}
