import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Crc64 } from '../../../src/storage/crc64.ts';

/** Bytes in a file. */
export interface Blob {
  readonly path: string;
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
    return { path, size, crc64: crc64.digest(), md5: md5.digest('hex').toUpperCase() };
  }

  put(key: string, blob: Blob, contentType: string, etag = `"${blob.md5}"`): StoredBlob {
    const stored = { ...blob, contentType, modifiedAt: new Date(), etag };
    this.objects.set(key, stored);
    return stored;
  }

  begin(key: string, contentType: string): string {
    const uploadId = randomUUID().replaceAll('-', '').toUpperCase();
    this.uploads.set(uploadId, { key, contentType, parts: new Map() });
    return uploadId;
  }

  async complete(uploadId: string, upload: Upload, parts: readonly Blob[]): Promise<StoredBlob> {
    const blob = await this.write(joined(parts));
    const md5s = Buffer.concat(parts.map((part) => Buffer.from(part.md5, 'hex')));
    const hash = createHash('md5').update(md5s).digest('hex').toUpperCase();
    const etag = `"${hash}-${parts.length}"`;
    await this.abandon(uploadId);
    return this.put(upload.key, blob, upload.contentType, etag);
  }

  async abandon(uploadId: string): Promise<void> {
    const upload = this.uploads.get(uploadId);
    this.uploads.delete(uploadId);
    for (const part of upload?.parts.values() ?? []) await rm(part.path, { force: true });
  }
}

async function* joined(parts: readonly Blob[]): AsyncGenerator<Buffer> {
  for (const part of parts) yield* createReadStream(part.path);
}
