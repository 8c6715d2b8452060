import { randomUUID } from 'node:crypto';
import { readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { GatewayError } from '../core/errors.ts';
import { systemCodeOf } from '../core/system-code.ts';
import { invalid } from '../core/workflow.ts';
import { maxWorkflowBytes, type WorkflowFile } from './parse.ts';

const suffix = '.json';
const metaSuffix = '.meta.json';

/** Letters and digits of any script; nothing that means anything to a file system or to a shell's glob. */
const callable = /^[\p{L}\p{N}][\p{L}\p{N} ._()+-]{0,199}$/u;

/** What systems and editors put beside a file. */
const hidden = /^\.[^.]/;

export function isWorkflowName(name: string): boolean {
  return callable.test(name) && !name.endsWith('.meta');
}

/** The folder in which operators keep `NAME.json` and, beside it, `NAME.meta.json`. */
export class WorkflowFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** By workflow, what changes whenever one of its files does. */
  async look(): Promise<Map<string, string>> {
    const files = (await readdir(this.path)).filter(
      (file) => file.endsWith(suffix) && !hidden.test(file),
    );
    const marks = await Promise.all(
      files.map(async (file) => [nameOf(file), file, await this.#mark(file)] as const),
    );
    const found = new Map<string, string>();
    for (const [name, file, mark] of marks.sort()) {
      if (mark) found.set(name, `${found.get(name) ?? ''}${file} ${mark}\n`);
    }
    return found;
  }

  /** @throws GatewayError `workflow_invalid` for files that are not looked into. */
  async read(name: string): Promise<WorkflowFile> {
    if (!isWorkflowName(name)) {
      throw invalid(
        'A workflow is called by its file name: letters, digits, spaces and . _ ( ) + - only, at most 200',
      );
    }
    const text = await this.#text(`${name}${suffix}`);
    if (text === null) throw invalid(`There is no ${name}${suffix} beside its ${metaSuffix}`);
    return { name, text, meta: await this.#text(`${name}${metaSuffix}`) };
  }

  /**
   * Puts the files in place of those that are there: a reader finds the old or the new, never a part.
   *
   * @throws GatewayError `workflows_read_only`, `storage_full`.
   */
  async write({ name, text, meta }: WorkflowFile): Promise<void> {
    try {
      if (meta === null) await this.#remove(`${name}${metaSuffix}`);
      else await this.#put(`${name}${metaSuffix}`, meta);
      await this.#put(`${name}${suffix}`, text);
    } catch (error) {
      throw translateRefusal(error);
    }
  }

  /**
   * `false`: there was nothing to remove.
   *
   * @throws GatewayError `workflows_read_only`.
   */
  async remove(name: string): Promise<boolean> {
    try {
      const isCallable = await this.#remove(`${name}${suffix}`);
      const isDescribed = await this.#remove(`${name}${metaSuffix}`);
      return isCallable || isDescribed;
    } catch (error) {
      throw translateRefusal(error);
    }
  }

  async #put(file: string, text: string): Promise<void> {
    const draft = join(this.path, `.${randomUUID()}.draft`);
    try {
      await writeFile(draft, text, { flush: true });
      await rename(draft, join(this.path, file));
    } finally {
      await rm(draft, { force: true });
    }
  }

  async #remove(file: string): Promise<boolean> {
    const removed = await rm(join(this.path, file)).then(() => true, unlessMissing);
    return removed ?? false;
  }

  async #mark(file: string): Promise<string | null> {
    const found = await stat(join(this.path, file)).catch(unlessMissing);
    return found && `${found.ino} ${found.size} ${found.mtimeMs}`;
  }

  async #text(file: string): Promise<string | null> {
    const path = join(this.path, file);
    const found = await stat(path).catch(unlessMissing);
    if (!found) return null;
    if (!found.isFile()) throw invalid(`${file} is no file`);
    if (found.size > maxWorkflowBytes) {
      const megabytes = maxWorkflowBytes / 1024 ** 2;
      throw invalid(`${file} is larger than ${megabytes} MB, the most that is read`);
    }
    return await readFile(path, 'utf8').catch(unlessMissing);
  }
}

function unlessMissing(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT') return null;
  throw error;
}

/** Of the workflow that the file, or what is said of it, belongs to. */
function nameOf(file: string): string {
  return file.slice(0, -(file.endsWith(metaSuffix) ? metaSuffix : suffix).length);
}

const readOnly = new Set(['EACCES', 'EPERM', 'EROFS']);
const full = new Set(['ENOSPC', 'EDQUOT']);

/** What a file system that takes no change says, for people; any other error as it is. */
export function translateRefusal(error: unknown): unknown {
  const code = systemCodeOf(error);
  if (readOnly.has(code)) {
    const message =
      'The gateway may not write to its workflow folder; give it one with WORKFLOWS_DIR, or put files there by hand';
    return new GatewayError('workflows_read_only', message, { cause: error });
  }
  if (full.has(code)) {
    return new GatewayError('storage_full', 'The disk of the workflow folder is full', {
      cause: error,
    });
  }
  return error;
}
