import { createHash } from 'node:crypto';
import { Crc64 } from './crc64.ts';

/** Counts and checksums bytes as they go past: SHA-256 for the record, CRC-64 to compare with OSS. */
export class Digest {
  #sha256 = createHash('sha256');
  #crc64 = new Crc64();
  #size = 0;

  update(bytes: Uint8Array): void {
    this.#size += bytes.length;
    this.#sha256.update(bytes);
    this.#crc64.update(bytes);
  }

  /** Forgets all, for a second reading. */
  reset(): void {
    this.#sha256 = createHash('sha256');
    this.#crc64 = new Crc64();
    this.#size = 0;
  }

  get size(): number {
    return this.#size;
  }

  /** Closes the hash, so only once. */
  sha256(): string {
    return this.#sha256.digest('hex');
  }

  crc64(): string {
    return this.#crc64.digest();
  }
}
