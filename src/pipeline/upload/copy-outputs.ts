import { GatewayError } from '../../core/errors.ts';
import { type ResultOwner, resultKey, thumbnailKey } from '../../core/result-key.ts';
import type { TaskOutput } from '../../core/task.ts';
import type { ObjectStore } from '../../storage/object-store.ts';
import type { Twin } from '../../tasks/twin-store.ts';

/**
 * Copies what was stored for one task to objects of another one's own: either one may be removed without the
 * other. `null` where they are gone or the store fails, which is no reason for a task to fail.
 *
 * @throws the signal's reason.
 */
export async function copyOutputs(
  store: Pick<ObjectStore, 'copy'>,
  { taskId, outputs }: Pick<Twin, 'taskId' | 'outputs'>,
  to: ResultOwner,
  onStoring: (key: string) => void,
  signal: AbortSignal,
): Promise<TaskOutput[] | null> {
  const copy = async (fromKey: string, toKey: string) => {
    onStoring(toKey);
    return await store.copy(fromKey, toKey, signal).catch((error) => {
      signal.throwIfAborted();
      if (error instanceof GatewayError) return false;
      throw error;
    });
  };
  const copies: TaskOutput[] = [];
  for (const [place, output] of outputs.entries()) {
    const { name, key: fromKey, thumbnailKey: fromThumbnail } = output;
    const index = outputs.slice(0, place).filter((other) => other.name === name).length;
    const extension = fromKey.slice(fromKey.lastIndexOf('.') + 1);
    const key = resultKey(to, { output: name, index, isMain: place === 0, extension });
    if (!(await copy(fromKey, key))) return null;
    const hasThumbnail = fromThumbnail && (await copy(fromThumbnail, thumbnailKey(key)));
    const own = { key, thumbnailKey: hasThumbnail ? thumbnailKey(key) : null };
    copies.push({ ...output, ...own, takenFrom: taskId });
  }
  return copies;
}
