/** So much is written at once. */
const batchBytes = 1024 * 1024;
/** A source may come in chunks of one byte each, which take a hundred bytes of memory. */
const batchChunks = 1_000;

/**
 * Gathers small chunks and writes many of them at a time: each write takes its turn with a thread, which
 * costs more than the bytes do, above all where processors are busy. While one batch is written, the
 * next is gathered; no more than two are in memory.
 */
export class BatchedWriter {
  readonly #write: (chunks: readonly Uint8Array[]) => Promise<number>;
  #gathered: Uint8Array[] = [];
  #gatheredBytes = 0;
  #written: Promise<void> = Promise.resolve();

  /** `write`: writes the chunks behind what it has written before, or some of it; resolves with how much. */
  constructor(write: (chunks: readonly Uint8Array[]) => Promise<number>) {
    this.#write = write;
  }

  /** Takes a chunk on, which must not change after that. What goes wrong with it may show later. */
  async add(chunk: Uint8Array): Promise<void> {
    this.#gathered.push(chunk);
    this.#gatheredBytes += chunk.length;
    const isFull = this.#gatheredBytes >= batchBytes || this.#gathered.length >= batchChunks;
    if (isFull) await this.#flush();
  }

  /** Resolves when everything is written. */
  async end(): Promise<void> {
    await this.#flush();
    await this.#written;
  }

  /** Resolves when nothing is being written any more, well or not. */
  async settled(): Promise<void> {
    await this.#written.catch(() => {});
  }

  async #flush(): Promise<void> {
    await this.#written;
    const chunks = this.#gathered;
    this.#gathered = [];
    this.#gatheredBytes = 0;
    this.#written = this.#writeAll(chunks);
    // Whoever adds or ends next hears of it.
    this.#written.catch(() => {});
  }

  async #writeAll(chunks: readonly Uint8Array[]): Promise<void> {
    for (let rest = chunks; rest.length > 0; ) rest = after(rest, await this.#write(rest));
  }
}

/** What is left of the chunks after so many bytes of them. */
function after(chunks: readonly Uint8Array[], bytes: number): readonly Uint8Array[] {
  let left = bytes;
  for (const [index, chunk] of chunks.entries()) {
    if (left < chunk.length) return [chunk.subarray(left), ...chunks.slice(index + 1)];
    left -= chunk.length;
  }
  return [];
}
