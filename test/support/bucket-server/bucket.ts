import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Crc64 } from '../../../src/storage/crc64.ts';
import { combineCrc64 } from './crc64-combine.ts';

/** Bytes in files, one after the other. */
export interface Blob {
  readonly files: readonly { readonly path: string; readonly size: number }[];
  readonly size: number;
  readonly crc64: string;
  /** Upper case, as OSS writes it. */
  readonly md5: string;
}

export interface StoredBlob extends Blob {
  readonly contentType: string;
  readonly modifiedAt: Date;
  /** Quoted. */
  readonly etag: string;
}

export interface Upload {
  readonly key: string;
  readonly contentType: string;
  readonly initiatedAt: Date;
  readonly parts: Map<number, Blob>;
}

/** Objects and unfinished uploads, on disk, so that large bodies cost no memory. */
export class Bucket {
  readonly objects = new Map<string, StoredBlob>();
  readonly uploads = new Map<string, Upload>();
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async write(bytes: AsyncIterable<Buffer>): Promise<Blob> {
    const path = join(this.#folder, randomUUID());
    const crc64 = new Crc64();
    const md5 = createHash('md5');
    let size = 0;
    const file = await open(path, 'wx');
    try {
      for await (const chunk of bytes) {
        size += chunk.length;
        crc64.update(chunk);
        md5.update(chunk);
        await file.appendFile(chunk);
      }
    } catch (error) {
      await rm(path);
      throw error;
    } finally {
      await file.close();
    }
    return {
      files: [{ path, size }],
      size,
      crc64: crc64.digest(),
      md5: md5.digest('hex').toUpperCase(),
    };
  }

  put(key: string, blob: Blob, contentType: string, etag = `"${blob.md5}"`): StoredBlob {
    const stored = { ...blob, contentType, modifiedAt: new Date(), etag };
    this.objects.set(key, stored);
    return stored;
  }

  begin(key: string, contentType: string): string {
    const uploadId = randomUUID().replaceAll('-', '').toUpperCase();
    this.uploads.set(uploadId, { key, contentType, initiatedAt: new Date(), parts: new Map() });
    return uploadId;
  }

  complete(uploadId: string, upload: Upload, parts: readonly Blob[]): StoredBlob {
    const md5s = Buffer.concat(parts.map((part) => Buffer.from(part.md5, 'hex')));
    const md5 = createHash('md5').update(md5s).digest('hex').toUpperCase();
    const blob = {
      files: parts.flatMap((part) => part.files),
      size: parts.reduce((sum, part) => sum + part.size, 0),
      crc64: parts.reduce((crc, part) => combineCrc64(crc, part.crc64, part.size), '0'),
      md5,
    };
    this.uploads.delete(uploadId);
    return this.put(upload.key, blob, upload.contentType, `"${md5}-${parts.length}"`);
  }

  /** Both ends included. */
  async *read({ files }: Blob, start: number, end: number): AsyncGenerator<Buffer> {
    let offset = 0;
    for (const { path, size } of files) {
      const [from, to] = [Math.max(start - offset, 0), Math.min(end - offset, size - 1)];
      if (from <= to) yield* createReadStream(path, { start: from, end: to });
      offset += size;
    }
  }

  async sha256(blob: Blob): Promise<string> {
    const hash = createHash('sha256');
    for await (const chunk of this.read(blob, 0, blob.size - 1)) hash.update(chunk);
    return hash.digest('hex');
  }

  async abandon(uploadId: string): Promise<void> {
    const upload = this.uploads.get(uploadId);
    this.uploads.delete(uploadId);
    for (const part of upload?.parts.values() ?? []) {
      for (const { path } of part.files) await rm(path, { force: true });
    }
  }
}
