import { randomUUID } from 'node:crypto';
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

  private constructor(folder: string, lock: Disposable) {
    this.#folder = folder;
    this.#lock = lock;
  }

  static async open(root: string, takeLock: TakeLock): Promise<Spool> {
    await mkdir(root, { recursive: true });
    const { id, folder, lock } = claimFolder(root, takeLock);
    await mkdir(folder);
    await sweep(root, id, takeLock);
    return new Spool(folder, lock);
  }

  path(name: string): string {
    return join(this.#folder, name);
  }

  async remove(name: string): Promise<void> {
    await rm(this.path(name), { force: true });
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
