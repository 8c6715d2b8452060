import { randomUUID } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { mkdir, readdir, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { realTempo, type Tempo } from '../core/tempo.ts';

/** A file that is being written. */
export interface SpoolFile {
  readonly path: string;
  /** Hears how large it is by now. */
  readonly onBytes: (bytes: number) => void;
}

/** Takes a lock that goes with its process, or returns `null` when another has it. */
export type TakeLock = (path: string) => Disposable | null;

const lockSuffix = '.lock';

/**
 * Where sources are while they are needed: a folder of this gateway's own, beside those of others.
 * Folders of gateways that are no more are swept at the start; their locks tell.
 */
export class Spool implements AsyncDisposable {
  readonly #folder: string;
  readonly #lock: Disposable;
  readonly #limitBytes: number;
  readonly #lookAgainMs: number;
  /** By whom they are for, the files and how far they have come, bytes. */
  readonly #bytes = new Map<string, Map<string, number>>();
  readonly #changes = new EventEmitter<{ changed: [] }>().setMaxListeners(0);

  private constructor(folder: string, lock: Disposable, limitBytes: number, lookAgainMs: number) {
    this.#folder = folder;
    this.#lock = lock;
    this.#limitBytes = limitBytes;
    this.#lookAgainMs = lookAgainMs;
  }

  /** `limitBytes`: when so much lies there, nothing more is begun. */
  static async open(
    root: string,
    takeLock: TakeLock,
    limitBytes: number,
    { lookAgainMs }: Pick<Tempo['spool'], 'lookAgainMs'> = realTempo.spool,
  ): Promise<Spool> {
    await mkdir(root, { recursive: true });
    const { id, folder, lock } = claimFolder(root, takeLock);
    await mkdir(folder);
    await sweep(root, id, takeLock);
    return new Spool(folder, lock, limitBytes, lookAgainMs);
  }

  /** Where a file goes; it takes room until `clear` is called for the same owner. */
  file(owner: string, name: string): SpoolFile {
    const files = this.#bytes.get(owner) ?? new Map<string, number>();
    files.set(name, 0);
    this.#bytes.set(owner, files);
    this.#changes.emit('changed');
    return {
      path: join(this.#folder, `${owner}-${name}`),
      onBytes: (bytes) => void files.set(name, bytes),
    };
  }

  /** Waits until a file may be begun for the owner. Who has begun with one may go on with others. */
  async room(owner: string, signal: AbortSignal): Promise<void> {
    while (this.#usedBytes >= this.#limitBytes && !this.#bytes.has(owner)) {
      await once(this.#changes, 'changed', { signal });
    }
  }

  /** How large the file is by now. */
  bytesOf(owner: string, name: string): number {
    return this.#bytes.get(owner)?.get(name) ?? 0;
  }

  /**
   * Waits until the disk has room for more than so many bytes, as far as it tells: of a quota, it does
   * not.
   */
  async roomOnDisk(bytes: number, signal: AbortSignal): Promise<void> {
    for (;;) {
      const { bavail, bsize } = await statfs(this.#folder);
      if (bavail * bsize > bytes) return;
      await delay(this.#lookAgainMs, undefined, { signal });
    }
  }

  /** Removes one file of this owner. */
  async remove(owner: string, name: string): Promise<void> {
    await rm(join(this.#folder, `${owner}-${name}`), { force: true });
    const files = this.#bytes.get(owner);
    files?.delete(name);
    if (files?.size === 0) this.#bytes.delete(owner);
    this.#changes.emit('changed');
  }

  /** Removes what there is of this owner. */
  async clear(owner: string): Promise<void> {
    const names = this.#bytes.get(owner)?.keys() ?? [];
    await Promise.all(
      [...names].map((name) => rm(join(this.#folder, `${owner}-${name}`), { force: true })),
    );
    if (this.#bytes.delete(owner)) this.#changes.emit('changed');
  }

  get #usedBytes(): number {
    let sum = 0;
    for (const files of this.#bytes.values()) for (const bytes of files.values()) sum += bytes;
    return sum;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
    this.#lock[Symbol.dispose]();
    await rm(this.#folder + lockSuffix, { force: true });
  }
}

/** Another gateway's sweep may get hold of a lock file between its making and its locking. */
function claimFolder(
  root: string,
  takeLock: TakeLock,
): { id: string; folder: string; lock: Disposable } {
  for (let tries = 0; tries < 10; tries += 1) {
    const id = randomUUID();
    const folder = join(root, id);
    const lock = takeLock(folder + lockSuffix);
    if (lock) return { id, folder, lock };
  }
  throw new Error(`No folder of the spool ${root} can be locked`);
}

async function sweep(root: string, own: string, takeLock: TakeLock): Promise<void> {
  const locks = (await readdir(root)).filter((name) => name.endsWith(lockSuffix));
  for (const id of locks.map((name) => name.slice(0, -lockSuffix.length))) {
    if (id === own) continue;
    const lock = takeLock(join(root, id + lockSuffix));
    if (!lock) continue;
    await rm(join(root, id), { recursive: true, force: true });
    lock[Symbol.dispose]();
    await rm(join(root, id + lockSuffix), { force: true });
  }
}
