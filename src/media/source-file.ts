import { createHash, type Hash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { BatchedWriter } from '../core/batched-writer.ts';
import type { GatewayError } from '../core/errors.ts';
import { type MediaFormat, mediaKindOf } from '../core/media.ts';
import { sniffBuffer, sniffBytes, unsupported } from './sniff.ts';
import { fromDisk, sourceEmpty, sourceTooLarge } from './source-errors.ts';

/** How large a source may be, bytes. */
export interface SourceLimits {
  readonly maxBytes: number;
  /** Narrower ones, as soon as the first bytes tell what it is. */
  readonly maxImageBytes?: number | null;
  readonly maxVideoBytes?: number | null;
}

export interface SourceFileOptions {
  readonly limits: SourceLimits;
  readonly onProgress?: (receivedBytes: number, totalBytes: number | null) => void;
  /** Whether its SHA-256 is counted, which takes a millisecond for every megabyte. */
  readonly wantsSha256?: boolean;
}

/** A source that was brought onto our disk. */
export interface FetchedSource {
  readonly bytes: number;
  /** Hex; `null` where nobody wanted it. */
  readonly sha256: string | null;
}

/** A new file that a source is written into: counted, hashed where that is wanted, and known by its first bytes. */
export class SourceFile implements AsyncDisposable {
  readonly #file: FileHandle;
  readonly #writer: BatchedWriter;
  readonly #options: SourceFileOptions;
  readonly #hash: Hash | null;
  #maxBytes: number;
  #head: Buffer | null = Buffer.alloc(0);
  #format: MediaFormat | null = null;
  #refusal: GatewayError | null = null;
  #bytes = 0;

  private constructor(file: FileHandle, options: SourceFileOptions) {
    this.#file = file;
    this.#writer = new BatchedWriter(async (chunks) => (await file.writev(chunks)).bytesWritten);
    this.#options = options;
    this.#hash = options.wantsSha256 ? createHash('sha256') : null;
    this.#maxBytes = options.limits.maxBytes;
  }

  /** A file of that name is another's, and stays. */
  static async create(path: string, options: SourceFileOptions): Promise<SourceFile> {
    const file = await open(path, 'wx').catch((error) => {
      throw fromDisk(error);
    });
    return new SourceFile(file, options);
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** What its first bytes say it is; `null` for none of the known formats, or while it is not known. */
  get format(): MediaFormat | null {
    return this.#format;
  }

  /** Why it is not taken; `null` while nothing is known against it. */
  get refusal(): GatewayError | null {
    return this.#refusal;
  }

  /**
   * Writes the next piece. A length that was announced (`total`) is only a claim.
   *
   * @throws GatewayError `source_too_large`, `spool_full`.
   */
  async write(chunk: Uint8Array, total: number | null): Promise<void> {
    if (this.#head) await this.#learn(Buffer.concat([this.#head, chunk]), false);
    this.admit(Math.max(total ?? 0, this.#bytes + chunk.length));
    await this.#writer.add(chunk).catch((error) => {
      throw fromDisk(error);
    });
    this.#hash?.update(chunk);
    this.#bytes += chunk.length;
    this.#options.onProgress?.(this.#bytes, total);
  }

  /** @throws GatewayError `source_too_large` when a source of so many bytes is not taken. */
  admit(bytes: number): void {
    if (bytes > this.#maxBytes) throw sourceTooLarge(this.#maxBytes);
  }

  /**
   * @throws GatewayError `source_empty`; `source_too_large` when it turns out at the end what it is;
   *   `spool_full`.
   */
  async finish(): Promise<FetchedSource> {
    if (this.#bytes === 0) throw sourceEmpty();
    if (this.#head) await this.#learn(this.#head, true);
    this.admit(this.#bytes);
    await this.#writer.end().catch((error) => {
      throw fromDisk(error);
    });
    return { bytes: this.#bytes, sha256: this.#hash?.digest('hex') ?? null };
  }

  async #learn(head: Buffer, isAll: boolean): Promise<void> {
    this.#head = head.subarray(0, sniffBytes);
    if (head.length < sniffBytes && !isAll) return;
    this.#format = await sniffBuffer(this.#head);
    if (!this.#format) this.#refusal = await unsupported(this.#head);
    this.#head = null;
    if (!this.#format) return;
    const { maxBytes, maxImageBytes, maxVideoBytes } = this.#options.limits;
    const most = mediaKindOf(this.#format) === 'image' ? maxImageBytes : maxVideoBytes;
    this.#maxBytes = Math.min(maxBytes, most ?? maxBytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer.settled();
    await this.#file.close();
  }
}
