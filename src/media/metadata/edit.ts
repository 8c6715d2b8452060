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
/** Tables lie at the beginning and at the end; who looks a second time asks for nothing again. */
const keptWindows = 4;

/** A file's structure, read here and there. */
export class Scanner {
  readonly size: number;
  readonly #read: (start: number, endExclusive: number) => Promise<Uint8Array>;
  readonly #windowBytes: number;
  /** What was read last, the newest first. */
  #windows: readonly { readonly start: number; readonly bytes: Buffer }[] = [];

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
    const { start: from, bytes } = this.#windowWith(start, end) ?? (await this.#open(start, end));
    return bytes.subarray(start - from, end - from);
  }

  #windowWith(start: number, end: number) {
    return this.#windows.find(
      (each) => start >= each.start && end <= each.start + each.bytes.length,
    );
  }

  async #open(start: number, end: number) {
    const until = Math.min(this.size, Math.max(end, start + this.#windowBytes));
    const read = await this.#read(start, until);
    if (read.length !== until - start) throw new Error('It is not whole');
    const bytes = Buffer.from(read.buffer, read.byteOffset, read.byteLength);
    const window = { start, bytes };
    this.#windows = [window, ...this.#windows.slice(0, keptWindows - 1)];
    return window;
  }
}
