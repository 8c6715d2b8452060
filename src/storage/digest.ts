import { createHash } from 'node:crypto';
import { Crc64 } from './crc64.ts';

/** By which checksum a service says what it received: OSS by CRC-64, S3 by MD5 (its ETag). */
export type ServiceChecksum = 'crc64' | 'md5';

/** Counts and checksums bytes as they go past: SHA-256 for the record, another to compare. */
export class Digest {
  readonly #kind: ServiceChecksum;
  #sha256 = createHash('sha256');
  #crc64 = new Crc64();
  #md5 = createHash('md5');
  #partMd5s: Buffer[] = [];
  #size = 0;

  constructor(kind: ServiceChecksum) {
    this.#kind = kind;
  }

  update(bytes: Uint8Array): void {
    this.#size += bytes.length;
    this.#sha256.update(bytes);
    if (this.#kind === 'crc64') this.#crc64.update(bytes);
    else this.#md5.update(bytes);
  }

  /** Ends a part of a multipart upload; answers its MD5 where that is counted anyway. */
  endPart(): Buffer | null {
    if (this.#kind !== 'md5') return null;
    const md5 = this.#md5.digest();
    this.#md5 = createHash('md5');
    this.#partMd5s.push(md5);
    return md5;
  }

  /** Forgets all, for a second reading. */
  reset(): void {
    this.#sha256 = createHash('sha256');
    this.#crc64 = new Crc64();
    this.#md5 = createHash('md5');
    this.#partMd5s = [];
    this.#size = 0;
  }

  get size(): number {
    return this.#size;
  }

  /** Closes the hash, so only once. */
  sha256(): string {
    return this.#sha256.digest('hex');
  }

  /** What the service answers when it has the same bytes. */
  expected(): string {
    if (this.#kind === 'crc64') return this.#crc64.digest();
    const parts = this.#partMd5s;
    if (parts.length === 0) return this.#md5.copy().digest('hex');
    const ofParts = createHash('md5').update(Buffer.concat(parts)).digest('hex');
    return `${ofParts}-${parts.length}`;
  }
}
