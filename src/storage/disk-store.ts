import { createHash, randomUUID } from 'node:crypto';
import { type BigIntStats, constants, createReadStream } from 'node:fs';
import {
  access,
  type FileHandle,
  link,
  mkdir,
  open,
  opendir,
  readdir,
  rename,
  rm,
  rmdir,
  stat,
  statfs,
} from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { addAbortSignal } from 'node:stream';
import { BatchedWriter } from '../core/batched-writer.ts';
import { GatewayError } from '../core/errors.ts';
import { resultFormatOfName, resultTypeOf } from '../core/result-format.ts';
import { realTempo, type Tempo } from '../core/tempo.ts';
import { diskFailed, errorCodeOf, rangeNotSatisfiable } from './errors.ts';
import { checkObjectKey, encodeObjectKey, keyOfUrl } from './object-key.ts';
import type {
  ByteRange,
  ByteSource,
  ObjectStat,
  ObjectStore,
  OpenObject,
  PutOptions,
  StoredObject,
} from './object-store.ts';
import { readSource } from './read-source.ts';

export interface DiskStoreOptions {
  /** The folder of the objects; made when it is missing. */
  readonly root: string;
  /** Where clients reach the gateway, which serves objects under `/objects/`; `null`: where they ask. */
  readonly publicUrl: string | null;
  /** Whether an address has a host and a port by which the gateway is reached. */
  readonly isOurs?: (address: URL) => boolean;
  readonly tempo?: Pick<Tempo['store'], 'abandonedAfterMs'>;
}

const temporaryFolder = '.tmp';
/** Where the gateway serves them. */
const objectsPath = '/objects/';
/** Each loses against one `delete`; so many in a row come to nothing. */
const publishTries = 20;

/**
 * Objects as files of the same name. An object appears whole or not at all: it is written beside,
 * on the same file system, brought to the disk, and then renamed.
 */
export class DiskStore implements ObjectStore {
  readonly isServedByGateway = true;
  readonly #root: string;
  readonly #publicUrl: string | null;
  readonly #isOurs: (address: URL) => boolean;

  private constructor({ root, publicUrl, isOurs = () => false }: DiskStoreOptions) {
    this.#root = resolve(root);
    this.#publicUrl = publicUrl;
    this.#isOurs = isOurs;
  }

  static async open(options: DiskStoreOptions): Promise<DiskStore> {
    const { tempo = realTempo.store } = options;
    const store = new DiskStore(options);
    await onDisk(async () => {
      await mkdir(store.#temporaryRoot, { recursive: true });
      await store.#sweep(tempo.abandonedAfterMs);
    });
    return store;
  }

  async put(key: string, source: ByteSource, options: PutOptions): Promise<StoredObject> {
    const path = this.#pathOf(key);
    const temporaryPath = join(this.#temporaryRoot, randomUUID());
    options.signal.throwIfAborted();
    try {
      const sha256 = await write(temporaryPath, source, options);
      await onDisk(() => this.#publish(temporaryPath, path));
      return { key, size: source.size, sha256 };
    } catch (error) {
      // What cannot be removed now is swept by a later start.
      await rm(temporaryPath, { force: true }).catch(() => {});
      await this.#removeEmptyFolders(dirname(path));
      throw error;
    }
  }

  async open(
    key: string,
    range: ByteRange | null,
    signal: AbortSignal,
  ): Promise<OpenObject | null> {
    const path = this.#pathOf(key);
    signal.throwIfAborted();
    return await onDisk(async () => {
      const file = await unlessMissing(open(path));
      if (!file) return null;
      try {
        const stats = await file.stat({ bigint: true });
        if (!stats.isFile()) {
          await file.close();
          return null;
        }
        const found = describe(key, stats);
        if (range && range.start >= found.size) throw rangeNotSatisfiable();
        const body = file.createReadStream(range ?? {});
        return { ...found, body: addAbortSignal(signal, body) };
      } catch (error) {
        await file.close();
        throw error;
      }
    });
  }

  async stat(key: string, signal: AbortSignal): Promise<ObjectStat | null> {
    const path = this.#pathOf(key);
    signal.throwIfAborted();
    const stats = await onDisk(() => unlessMissing(stat(path, { bigint: true })));
    return stats?.isFile() ? describe(key, stats) : null;
  }

  /** A second name of the same file, which takes no room: objects are replaced, never written to. */
  async copy(fromKey: string, toKey: string, signal: AbortSignal): Promise<boolean> {
    const [fromPath, toPath] = [this.#pathOf(fromKey), this.#pathOf(toKey)];
    const temporaryPath = join(this.#temporaryRoot, randomUUID());
    signal.throwIfAborted();
    try {
      const isThere = await onDisk(() => linkOrCopy(fromPath, temporaryPath, signal));
      if (isThere) await onDisk(() => this.#publish(temporaryPath, toPath));
      return isThere;
    } finally {
      // To rename one name of a file to another of its names does nothing at all.
      await rm(temporaryPath, { force: true }).catch(() => {});
    }
  }

  async delete(key: string, signal: AbortSignal): Promise<void> {
    const path = this.#pathOf(key);
    signal.throwIfAborted();
    await onDisk(() => unlessMissing(rm(path)));
    await this.#removeEmptyFolders(dirname(path));
  }

  /** The keys of all objects, in no order. Folders are read piece by piece, however large. */
  async *keys(signal: AbortSignal): AsyncGenerator<string> {
    yield* this.#keysIn('', signal);
  }

  async *#keysIn(folder: string, signal: AbortSignal): AsyncGenerator<string> {
    const entries = await onDisk(() => unlessMissing(opendir(join(this.#root, folder))));
    for await (const entry of entries ?? []) {
      signal.throwIfAborted();
      const key = `${folder}${entry.name}`;
      if (key === temporaryFolder) continue;
      if (entry.isDirectory()) yield* this.#keysIn(`${key}/`, signal);
      else if (entry.isFile()) yield key;
    }
  }

  async check(): Promise<void> {
    await onDisk(async () => {
      await access(this.#temporaryRoot, constants.W_OK);
      const { bavail } = await statfs(this.#temporaryRoot);
      if (bavail === 0) throw Object.assign(new Error('no room'), { code: 'ENOSPC' });
    });
  }

  /** Unfinished files do not outlive their `put`, and those of a crash are swept. */
  async abandon(): Promise<void> {}

  async urlOf(key: string): Promise<string> {
    checkObjectKey(key);
    return `${this.#publicUrl ?? ''}${objectsPath}${encodeObjectKey(key)}`;
  }

  /** The gateway takes uploads itself. */
  async presignPut(): Promise<null> {
    return null;
  }

  keyOf(url: string): string | null {
    const address = URL.parse(url);
    const isOurs = address !== null && this.#isOurs(address);
    const bases = [this.#publicUrl, isOurs ? address.origin : null];
    for (const base of bases) {
      const key = base === null ? null : keyOfUrl(url, `${base}${objectsPath}`);
      if (key !== null) return key;
    }
    return null;
  }

  get #temporaryRoot(): string {
    return join(this.#root, temporaryFolder);
  }

  #pathOf(key: string): string {
    checkObjectKey(key);
    if (key.split('/')[0] === temporaryFolder) {
      throw new GatewayError('invalid_request', 'The object key is not valid', { detail: { key } });
    }
    return join(this.#root, key);
  }

  async #publish(temporaryPath: string, path: string): Promise<void> {
    const folder = dirname(path);
    for (let tries = 1; ; tries += 1) {
      try {
        await mkdir(folder, { recursive: true });
        await rename(temporaryPath, path);
        break;
      } catch (error) {
        // A `delete` beside us may just have removed the folder, because it was empty.
        if (errorCodeOf(error) !== 'ENOENT' || tries === publishTries) throw error;
      }
    }
    // The new name, and the folders made for it, reach the disk with the folders that hold them.
    for (const holding of this.#foldersUp(folder)) await syncFolder(holding);
    await syncFolder(this.#root);
  }

  async #removeEmptyFolders(folder: string): Promise<void> {
    for (const candidate of this.#foldersUp(folder)) {
      const removed = await rmdir(candidate).then(
        () => true,
        () => false,
      );
      if (!removed) return;
    }
  }

  /** The folder and those above it, up to the root, but without it. */
  *#foldersUp(folder: string): Generator<string> {
    for (let at = folder; at !== this.#root; at = dirname(at)) yield at;
  }

  /** Younger files may belong to another gateway that shares the folder. */
  async #sweep(abandonedAfterMs: number): Promise<void> {
    for (const name of await readdir(this.#temporaryRoot)) {
      const path = join(this.#temporaryRoot, name);
      const stats = await unlessMissing(stat(path));
      if (stats && Date.now() - stats.mtimeMs > abandonedAfterMs) await rm(path, { force: true });
    }
  }
}

/** Copies the source to a new file that survives a loss of power; answers its SHA-256. */
async function write(
  path: string,
  source: ByteSource,
  { onProgress, signal }: Pick<PutOptions, 'onProgress' | 'signal'>,
): Promise<string> {
  const sha256 = createHash('sha256');
  let storedBytes = 0;
  const file = await onDisk(() => open(path, 'wx'));
  const writer = new BatchedWriter(async (chunks) => (await file.writev(chunks)).bytesWritten);
  try {
    for await (const chunk of readSource(source, null, signal)) {
      sha256.update(chunk);
      await onDisk(() => writer.add(chunk));
      storedBytes += chunk.length;
      onProgress?.(storedBytes);
    }
    await onDisk(() => writer.end());
    await onDisk(() => file.sync());
  } finally {
    await writer.settled();
    await file.close();
  }
  signal.throwIfAborted();
  return sha256.digest('hex');
}

/** File systems that know no second names, or no further one of this file. */
const unlinkable = ['EPERM', 'EMLINK', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'];

/** `false` when there is no such file. */
async function linkOrCopy(from: string, to: string, signal: AbortSignal): Promise<boolean> {
  const stats = await unlessMissing(stat(from));
  if (!stats?.isFile()) return false;
  try {
    await link(from, to);
  } catch (error) {
    if (errorCodeOf(error) === 'ENOENT') return false;
    if (!unlinkable.includes(errorCodeOf(error))) throw error;
    const source = { size: stats.size, open: async () => createReadStream(from) };
    await write(to, source, { signal });
  }
  return true;
}

function describe(key: string, stats: BigIntStats): ObjectStat {
  const format = resultFormatOfName(key);
  const fingerprint = [stats.size, stats.mtimeNs, stats.ino].map((part) => part.toString(36));
  return {
    size: Number(stats.size),
    contentType: format ? resultTypeOf(format) : 'application/octet-stream',
    modifiedAt: stats.mtime,
    etag: `"${fingerprint.join('-')}"`,
  };
}

async function syncFolder(path: string): Promise<void> {
  const folder: FileHandle = await open(path);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** A name that does not exist, or that names a folder, is no object. */
async function unlessMissing<T>(looking: Promise<T>): Promise<T | null> {
  try {
    return await looking;
  } catch (error) {
    const missing = ['ENOENT', 'ENOTDIR', 'EISDIR', 'ERR_FS_EISDIR'];
    if (missing.includes(errorCodeOf(error))) return null;
    throw error;
  }
}

async function onDisk<T>(operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    throw error instanceof GatewayError ? error : diskFailed(error);
  }
}
