/** Bytes of a file, from `start` to `end` (exclusive), in whose place others stand. */
export interface Edit {
  readonly start: number;
  readonly end: number;
  /** `zeros`: as many as there were bytes, so that what lies behind keeps its place. */
  readonly bytes: Uint8Array | 'zeros';
}

export const nothing = new Uint8Array(0);

/** What is so long is no header: the file is damaged. */
const maxHeaderBytes = 1024 * 1024;

/** A file's structure, read here and there. */
export class Scanner {
  readonly size: number;
  readonly #read: (start: number, endExclusive: number) => Promise<Uint8Array>;
  readonly #windowBytes: number;
  #window: Buffer = Buffer.alloc(0);
  #windowStart = 0;

  /** At least `windowBytes` are read at a time, as is right for what answers over a network. */
  constructor(
    size: number,
    read: (start: number, endExclusive: number) => Promise<Uint8Array>,
    windowBytes: number,
  ) {
    this.size = size;
    this.#read = read;
    this.#windowBytes = windowBytes;
  }

  /** @throws Error where the file ends before. */
  async bytes(start: number, count: number): Promise<Buffer> {
    const end = start + count;
    if (end > this.size || count > maxHeaderBytes) throw new Error('It is not whole');
    if (start < this.#windowStart || end > this.#windowStart + this.#window.length) {
      const until = Math.min(this.size, Math.max(end, start + this.#windowBytes));
      const read = await this.#read(start, until);
      if (read.length !== until - start) throw new Error('It is not whole');
      this.#window = Buffer.from(read.buffer, read.byteOffset, read.byteLength);
      this.#windowStart = start;
    }
    return this.#window.subarray(start - this.#windowStart, end - this.#windowStart);
  }
}
