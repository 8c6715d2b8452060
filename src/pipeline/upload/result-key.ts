import { fileStem } from '../../core/file-stem.ts';
import type { Source } from '../../core/task.ts';
import type { Sharer } from '../../tasks/attempt-store.ts';

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
  { id, sources }: Sharer,
  attempt: number,
  { output, index, isMain, extension }: ResultName,
): string {
  const stem = fileStem(nameOf(sources[0]));
  const which = isMain ? '' : `-${output}${index > 0 ? `-${index + 1}` : ''}`;
  const again = attempt > 1 ? `-${attempt}` : '';
  return `${id.replaceAll('-', '')}/${stem}${which}${again}.${extension}`;
}

/** Where the small picture of an object is. */
export function thumbnailKey(key: string): string {
  return `${key}.thumb.webp`;
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
