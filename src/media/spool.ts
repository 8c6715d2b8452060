import { randomUUID } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import {
  copyFile,
  link,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  statfs,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { SourceNote } from '../core/source-note.ts';
import { realTempo, type Tempo } from '../core/tempo.ts';
import { untilAborted } from '../core/until-aborted.ts';

/** A file that is being written. */
export interface SpoolFile {
  readonly path: string;
  /** Hears how large it is by now. */
  readonly onBytes: (bytes: number) => void;
}

/** What is made of a source's file lies beside it, under a name that no source has. */
export function plainName(name: string): string {
  return `${name}.plain`;
}

/** A file that outlives its gateway. */
export interface KeptFile {
  readonly owner: string;
  readonly name: string;
  readonly path: string;
  readonly note: SourceNote;
}

/** Makes room of what nobody needs at present. Never throws; `null` where there is none to make. */
export type MakeRoom = () => Promise<void> | null;

/** Takes a lock that goes with its process, or returns `null` when another has it. */
export type TakeLock = (path: string) => Disposable | null;

const lockSuffix = '.lock';
/** Of the note beside a file that is kept. */
const noteSuffix = '.json';
const notePattern = /^([0-9a-f-]{36})-(\w+)\.json$/;

/**
 * Where sources are while they are needed: a folder of this gateway's own, beside those of others. What is
 * kept there, another gateway on this disk takes over when this one is no more; the locks of folders tell.
 */
export class Spool implements AsyncDisposable {
  readonly #root: string;
  readonly #id: string;
  readonly #takeLock: TakeLock;
  readonly #lock: Disposable;
  readonly #limitBytes: number;
  readonly #lookAgainMs: number;
  /** By whom they are for, the files and how far they have come, bytes. */
  readonly #bytes = new Map<string, Map<string, number>>();
  #makeRoom: MakeRoom = () => null;
  readonly #changes = new EventEmitter<{ changed: [] }>().setMaxListeners(0);

  private constructor(
    root: string,
    { id, lock }: ClaimedFolder,
    takeLock: TakeLock,
    limitBytes: number,
    lookAgainMs: number,
  ) {
    this.#root = root;
    this.#id = id;
    this.#lock = lock;
    this.#takeLock = takeLock;
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
    const claimed = claimFolder(root, takeLock);
    await mkdir(join(root, claimed.id));
    return new Spool(root, claimed, takeLock, limitBytes, lookAgainMs);
  }

  /** Where a file goes; it takes room until `clear` is called for the same owner. */
  file(owner: string, name: string): SpoolFile {
    const files = this.#bytes.get(owner) ?? new Map<string, number>();
    files.set(name, 0);
    this.#bytes.set(owner, files);
    this.changed();
    return {
      path: this.#pathOf(owner, name),
      onBytes: (bytes) => void files.set(name, bytes),
    };
  }

  /** `makeRoom` is asked whenever somebody waits for room, and again after `changed`. */
  onFull(makeRoom: MakeRoom): void {
    this.#makeRoom = makeRoom;
  }

  /** Waits until a file may be begun for the owner. Who has begun with one may go on with others. */
  async room(owner: string, signal: AbortSignal): Promise<void> {
    while (!this.hasRoom && !this.#bytes.has(owner)) {
      const making = this.#makeRoom();
      await (making ? untilAborted(making, signal) : once(this.#changes, 'changed', { signal }));
    }
  }

  /** Whether a file may be begun. */
  get hasRoom(): boolean {
    return this.#usedBytes < this.#limitBytes;
  }

  /** There may be room to make, for those who wait. */
  changed(): void {
    this.#changes.emit('changed');
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
    await this.#remove(owner, name);
    const files = this.#bytes.get(owner);
    files?.delete(name);
    if (files?.size === 0) this.#bytes.delete(owner);
    this.changed();
  }

  /** Removes what there is of this owner. */
  async clear(owner: string): Promise<void> {
    const names = this.#bytes.get(owner)?.keys() ?? [];
    await Promise.all([...names].map((name) => this.#remove(owner, name)));
    if (this.#bytes.delete(owner)) this.changed();
  }

  /** From when this returns, the file outlives this gateway, until it is removed. */
  async keep(owner: string, name: string, note: SourceNote): Promise<void> {
    const path = this.#pathOf(owner, name);
    // A note is there whole or not at all.
    await writeFile(`${path}.new`, JSON.stringify(note));
    await rename(`${path}.new`, path + noteSuffix);
  }

  /** Gives another owner the same file, which is kept as long as either needs it. */
  async lend(
    { path: from, note }: Pick<KeptFile, 'path' | 'note'>,
    owner: string,
    name: string,
  ): Promise<KeptFile> {
    const { path, onBytes } = this.file(owner, name);
    // Not every file system has two names for one file.
    await link(from, path).catch(() => copyFile(from, path));
    onBytes(note.bytes);
    await this.keep(owner, name, note);
    return { owner, name, path, note };
  }

  /** From when this returns, it outlives a loss of power as well. Until then its length tells whether it is whole. */
  async settle(owner: string, name: string): Promise<void> {
    await using file = await open(this.#pathOf(owner, name));
    await file.datasync();
  }

  /** The file, if it is kept. */
  async kept(owner: string, name: string): Promise<KeptFile | null> {
    return await keptFile(this.#folder, owner, name);
  }

  /** Takes over what gateways have kept that are no more, and removes the rest of theirs. */
  async adopt(): Promise<KeptFile[]> {
    const adopted: KeptFile[] = [];
    const locks = (await readdir(this.#root)).filter((name) => name.endsWith(lockSuffix));
    for (const id of locks.map((name) => name.slice(0, -lockSuffix.length))) {
      const lock = id === this.#id ? null : this.#takeLock(join(this.#root, id + lockSuffix));
      if (!lock) continue;
      try {
        for (const kept of await keptIn(join(this.#root, id))) {
          const taken = await this.#take(kept);
          if (taken) adopted.push(taken);
        }
        await rm(join(this.#root, id), { recursive: true, force: true });
      } finally {
        lock[Symbol.dispose]();
      }
      await rm(join(this.#root, id + lockSuffix), { force: true });
    }
    return adopted;
  }

  /** `null`: it is here already. At any moment the file has a note beside it, there or here. */
  async #take({ owner, name, path: from, note }: KeptFile): Promise<KeptFile | null> {
    if (this.#bytes.get(owner)?.has(name)) return null;
    const { path, onBytes } = this.file(owner, name);
    onBytes(note.bytes);
    try {
      await this.keep(owner, name, note);
      await rename(from, path);
    } catch (error) {
      await this.remove(owner, name).catch(() => {});
      throw error;
    }
    return { owner, name, path, note };
  }

  /** The note first: a file without one is nothing. */
  async #remove(owner: string, name: string): Promise<void> {
    const path = this.#pathOf(owner, name);
    await rm(path + noteSuffix, { force: true });
    await rm(path, { force: true });
  }

  get #folder(): string {
    return join(this.#root, this.#id);
  }

  #pathOf(owner: string, name: string): string {
    return join(this.#folder, `${owner}-${name}`);
  }

  get #usedBytes(): number {
    let sum = 0;
    for (const files of this.#bytes.values()) for (const bytes of files.values()) sum += bytes;
    return sum;
  }

  /** What is kept stays for whoever comes next. */
  async [Symbol.asyncDispose](): Promise<void> {
    const kept = new Set((await keptIn(this.#folder)).map(({ path }) => path));
    if (kept.size === 0) await rm(this.#folder, { recursive: true, force: true });
    else await this.#removeAllBut(kept);
    this.#lock[Symbol.dispose]();
    if (kept.size === 0) await rm(this.#folder + lockSuffix, { force: true });
  }

  async #removeAllBut(kept: ReadonlySet<string>): Promise<void> {
    const paths = (await readdir(this.#folder)).map((name) => join(this.#folder, name));
    const isKept = (path: string) => kept.has(path) || kept.has(path.slice(0, -noteSuffix.length));
    await Promise.all(
      paths
        .filter((path) => !isKept(path))
        .map((path) => rm(path, { recursive: true, force: true })),
    );
  }
}

interface ClaimedFolder {
  readonly id: string;
  readonly lock: Disposable;
}

/** Another gateway's sweep may get hold of a lock file between its making and its locking. */
function claimFolder(root: string, takeLock: TakeLock): ClaimedFolder {
  for (let tries = 0; tries < 10; tries += 1) {
    const id = randomUUID();
    const lock = takeLock(join(root, id + lockSuffix));
    if (lock) return { id, lock };
  }
  throw new Error(`No folder of the spool ${root} can be locked`);
}

/** The files of a folder that are whole. */
async function keptIn(folder: string): Promise<KeptFile[]> {
  const names = await readdir(folder).catch(() => []);
  const kept = names.map(async (noteName) => {
    const [, owner, name] = notePattern.exec(noteName) ?? [];
    return owner && name ? await keptFile(folder, owner, name) : null;
  });
  return (await Promise.all(kept)).flatMap((file) => file ?? []);
}

/** A file is whole that has a note, and the length that it tells. */
async function keptFile(folder: string, owner: string, name: string): Promise<KeptFile | null> {
  const path = join(folder, `${owner}-${name}`);
  try {
    const note: SourceNote = JSON.parse(await readFile(path + noteSuffix, 'utf8'));
    const { size } = await stat(path);
    return size === note.bytes ? { owner, name, path, note } : null;
  } catch {
    return null;
  }
}
