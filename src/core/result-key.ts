import { fileStem } from './file-stem.ts';
import type { Source, Task } from './task.ts';
import { parseUuid, uuidOfHex } from './uuid.ts';

/**
 * Where results are in the object store: `TASK/SECRET/STEM.EXTENSION`, in hex digits. Whoever has the address of
 * one may read it, so that it holds 128 random bits that appear nowhere else. Results of runs from before there
 * were any are at `TASK/STEM.EXTENSION`.
 */

/** Whose result an object is. */
export interface ResultOwner {
  readonly task: Pick<Task, 'id' | 'sources'>;
  /** That of its run. */
  readonly secret: string | null;
  /** The number of the attempt that stores it. */
  readonly attempt: number;
}

/** Which of a task's results an object is. */
export interface ResultName {
  /** The workflow's output. */
  readonly output: string;
  /** 0, 1, … among those of its output. */
  readonly index: number;
  readonly isMain: boolean;
  /** Without its dot. */
  readonly extension: string;
}

/**
 * The object's name says which task it is of and what it was made from. A later attempt, by its number, has
 * a name of its own, so that a gateway which slept cannot overwrite what its successor stored.
 */
export function resultKey(
  { task: { id, sources }, secret, attempt }: ResultOwner,
  { output, index, isMain, extension }: ResultName,
): string {
  const folder = [id.replaceAll('-', ''), ...(secret === null ? [] : [secret])].join('/');
  const stem = fileStem(nameOf(sources[0]));
  const which = isMain ? '' : `-${output}${index > 0 ? `-${index + 1}` : ''}`;
  const again = attempt > 1 ? `-${attempt}` : '';
  return `${folder}/${stem}${which}${again}.${extension}`;
}

/** Where the small picture of an object is. */
export function thumbnailKey(key: string): string {
  return `${key}.thumb.webp`;
}

/** The id of the task whose result the object would be; `null` for any other object. */
export function taskOfResult(key: string): string | null {
  return uuidOfHex(/^([^/]*)\//.exec(key)?.[1] ?? '');
}

/** The random bits in the key of a result; `null` for one from before there were any. */
export function secretOfResult(key: string): string | null {
  return /^[0-9a-f]{32}\/([0-9a-f]{32})\//.exec(key)?.[1] ?? null;
}

/** The address of a result, with `…` in place of its random bits; any other address as it is. */
export function withoutSecret(address: string): string {
  return address.replace(/(\/[0-9a-f]{32}\/)[0-9a-f]{32}(?=\/)/gi, '$1…');
}

/**
 * The id of a task or an upload from which the object's name follows, so that to know the name proves nothing;
 * `null` for any other object. Other folders may stand before its key, as they do in a bucket.
 */
export function guessableIdOf(name: string): string | null {
  // A file system may take capital letters for small ones.
  const [file = '', folder = ''] = name.toLowerCase().split('/').reverse();
  return folder === 'uploads' ? parseUuid(file) : uuidOfHex(folder);
}

function nameOf(source: Source | undefined): string {
  const path = URL.parse(source?.url ?? '')?.pathname ?? '';
  return source?.name ?? decodeURIComponentSafely(path.slice(path.lastIndexOf('/') + 1));
}

function decodeURIComponentSafely(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
