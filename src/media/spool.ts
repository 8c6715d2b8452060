import { randomUUID } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

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
  /** By name, as far as it has come. */
  readonly #bytes = new Map<string, number>();
  readonly #removals = new EventEmitter<{ removed: [] }>().setMaxListeners(0);

  private constructor(folder: string, lock: Disposable, limitBytes: number) {
    this.#folder = folder;
    this.#lock = lock;
    this.#limitBytes = limitBytes;
  }

  /** `limitBytes`: when so much lies there, nothing more is begun. */
  static async open(root: string, takeLock: TakeLock, limitBytes: number): Promise<Spool> {
    await mkdir(root, { recursive: true });
    const { id, folder, lock } = claimFolder(root, takeLock);
    await mkdir(folder);
    await sweep(root, id, takeLock);
    return new Spool(folder, lock, limitBytes);
  }

  path(name: string): string {
    return join(this.#folder, name);
  }

  /** Waits until another file may be begun. What has been begun is let grow to its end. */
  async room(signal: AbortSignal): Promise<void> {
    while (this.#usedBytes >= this.#limitBytes) await once(this.#removals, 'removed', { signal });
  }

  /** The file has come to so many bytes. */
  grown(name: string, bytes: number): void {
    this.#bytes.set(name, bytes);
  }

  async remove(name: string): Promise<void> {
    await rm(this.path(name), { force: true });
    if (this.#bytes.delete(name)) this.#removals.emit('removed');
  }

  get #usedBytes(): number {
    return this.#bytes.values().reduce((sum, bytes) => sum + bytes, 0);
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
