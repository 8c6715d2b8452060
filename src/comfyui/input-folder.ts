import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { copyFile, link, mkdir, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { realTempo, type Tempo } from '../core/tempo.ts';
import { untilAborted } from '../core/until-aborted.ts';
import type { ComfyClient, InputFile } from './client.ts';

/** Everything of ours lies in this folder of the server's `input`. */
const ours = 'tmlsr';
/** How slow a copy may be; a file system that hangs hangs for ever. */
const minBytesPerMs = 5_000;

/**
 * A ComfyUI server's `input` folder that this gateway sees, too: an input that is put there need not be
 * sent. It appears whole or not at all.
 */
export class InputFolder {
  readonly #path: string;
  readonly #tempo: Tempo['inputs'];

  constructor(path: string, tempo: Tempo['inputs'] = realTempo.inputs) {
    this.#path = path;
    this.#tempo = tempo;
  }

  /**
   * Looks whether the folder is there, can be written to, and is the server's: what is put there has to
   * show in `/view`.
   *
   * @throws Error with the reason why it cannot be used.
   */
  async check(client: ComfyClient, signal: AbortSignal): Promise<void> {
    if (!(await stat(this.#path)).isDirectory()) throw new Error('it is no folder');
    const filename = `${randomUUID()}.txt`;
    const path = join(this.#path, ours, filename);
    await mkdir(join(this.#path, ours), { recursive: true });
    try {
      await writeFile(path, filename);
      const file = { filename, subfolder: ours, type: 'input' } as const;
      if ((await client.fileSize(file, signal)) !== filename.length) {
        throw new Error('the ComfyUI server does not see what is put there');
      }
    } finally {
      await rm(path, { force: true });
    }
  }

  /** Puts the file where the server's nodes find it, and returns the name that they know it by. */
  async put({ path, size, name, subfolder }: InputFile, signal: AbortSignal): Promise<string> {
    const deadline = AbortSignal.timeout(
      this.#tempo.copyDeadlineMs + Math.ceil(size / minBytesPerMs),
    );
    const folder = join(this.#path, subfolder);
    const temporary = join(folder, `.${randomUUID()}`);
    const placing = async () => {
      await mkdir(folder, { recursive: true });
      try {
        await linkOrCopy(path, temporary);
        await rename(temporary, join(folder, name));
      } finally {
        // A link that replaces another one to the same file leaves both names standing.
        await rm(temporary, { force: true });
      }
    };
    await untilAborted(placing(), AbortSignal.any([signal, deadline]));
    return `${subfolder}/${name}`;
  }

  /** Removes a folder of an attempt; one that is not there is as good as removed. */
  async remove(subfolder: string): Promise<void> {
    await rm(join(this.#path, subfolder), { recursive: true, force: true });
  }

  /** Removes what attempts left that nobody could clear up after. */
  async sweep(): Promise<void> {
    const root = join(this.#path, ours);
    for (const name of await readdir(root)) {
      const path = join(root, name);
      const { mtimeMs } = await stat(path);
      if (Date.now() - mtimeMs > this.#tempo.abandonedAfterMs) {
        await rm(path, { recursive: true, force: true });
      }
    }
  }
}

/** A link costs nothing; file systems that have none, or another one than ours, get a copy. */
async function linkOrCopy(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch {
    await copyFile(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  }
}
