import { createReadStream, createWriteStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { GatewayError } from '../../core/errors.ts';
import { systemCodeOf } from '../../core/system-code.ts';
import type { RangeReader } from '../../media/range-reader.ts';
import type { SpoolFile } from '../../media/spool.ts';
import type { ByteSource } from '../../storage/object-store.ts';

/**
 * Brings a result onto our disk, in full.
 *
 * @throws GatewayError `output_truncated`, `spool_full`; whatever `source.open` throws.
 */
export async function fetchResult(
  { path, onBytes }: SpoolFile,
  source: ByteSource,
  signal: AbortSignal,
): Promise<void> {
  try {
    await pipeline(await source.open(null, signal), createWriteStream(path), { signal });
  } catch (error) {
    if (isFull(error)) throw noRoom(error);
    broke(signal)(error);
  }
  const { size } = await stat(path);
  onBytes(size);
  if (size !== source.size) throw brokeOff();
}

export function fileSource(path: string, size: number): ByteSource {
  return { size, open: async (range) => createReadStream(path, range ?? {}) };
}

export function readerOf(source: ByteSource): RangeReader {
  return {
    size: source.size,
    async read(start, endExclusive, signal) {
      if (endExclusive <= start) return new Uint8Array(0);
      const stream = await source.open({ start, end: endExclusive - 1 }, signal);
      return Buffer.concat(await stream.toArray({ signal }).catch(broke(signal)));
    },
  };
}

function isFull(error: unknown): boolean {
  const code = systemCodeOf(error);
  return code === 'ENOSPC' || code === 'EDQUOT';
}

function noRoom(cause: unknown): GatewayError {
  const message = 'The gateway has no room for the result at the moment';
  return new GatewayError('spool_full', message, { cause });
}

/** Reading broke off. */
function broke(signal: AbortSignal): (error: unknown) => never {
  return (error) => {
    signal.throwIfAborted();
    throw error instanceof GatewayError ? error : brokeOff(error);
  };
}

function brokeOff(cause?: unknown): GatewayError {
  return new GatewayError('output_truncated', 'The output broke off before its end', { cause });
}
