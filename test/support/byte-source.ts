import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import type { ByteRange, ByteSource } from '../../src/storage/object-store.ts';

/** Not a divisor of any part size, so that a part in the wrong place is noticed. */
const pattern = randomBytes(65_521);

export interface SourceFlaws {
  /** The stream fails with this at `breakAt`; without it, it ends there. */
  readonly breaksWith?: Error;
  readonly breakAt?: number;
  /** Nothing more comes after this many bytes. */
  readonly stallAt?: number;
}

/** Bytes made as they are read, and a record of who reads them. */
export class GeneratedSource implements ByteSource {
  readonly size: number;
  readonly streams: Readable[] = [];
  readonly #flaws: SourceFlaws;

  constructor(size: number, flaws: SourceFlaws = {}) {
    this.size = size;
    this.#flaws = flaws;
  }

  async open(range: ByteRange | null): Promise<Readable> {
    const { start, end } = range ?? { start: 0, end: this.size - 1 };
    const { breaksWith, breakAt = Number.POSITIVE_INFINITY, stallAt } = this.#flaws;
    const until = Math.min(end + 1, breakAt, stallAt ?? Number.POSITIVE_INFINITY);
    let at = start;
    const stream = new Readable({
      read() {
        if (at < until) {
          const chunk = chunkAt(at, until);
          at += chunk.length;
          this.push(chunk);
        } else if (breaksWith && until === breakAt) {
          this.destroy(breaksWith);
        } else if (until !== stallAt) {
          this.push(null);
        }
      },
    });
    this.streams.push(stream);
    return stream;
  }

  get openStreams(): number {
    return this.streams.filter((stream) => !stream.destroyed).length;
  }

  /** What a good store must have stored. */
  sha256(): string {
    const hash = createHash('sha256');
    for (let at = 0; at < this.size; ) {
      const chunk = chunkAt(at, this.size);
      hash.update(chunk);
      at += chunk.length;
    }
    return hash.digest('hex');
  }
}

function chunkAt(at: number, until: number): Buffer {
  const from = at % pattern.length;
  return pattern.subarray(from, Math.min(pattern.length, from + until - at));
}

export function bufferSource(bytes: Buffer | string): ByteSource {
  const buffer = Buffer.from(bytes);
  return {
    size: buffer.length,
    open: async (range) =>
      Readable.from([range ? buffer.subarray(range.start, range.end + 1) : buffer]),
  };
}
