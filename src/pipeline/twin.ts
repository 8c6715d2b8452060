import type { Claim } from '../core/attempt.ts';
import { GatewayError } from '../core/errors.ts';
import type { TaskOutput } from '../core/task.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { Twin } from '../tasks/twins.ts';
import type { AttemptJournal } from './attempt-journal.ts';
import { resultKey, thumbnailKey } from './result-key.ts';

/** The task follows a twin: it is back in the queue until that one has ended. */
export class TwinAwaitedError extends Error {
  override readonly name = 'TwinAwaitedError';
}

/** The results of the twin cannot be had: the attempt begins anew, without it. */
export class TwinGoneError extends Error {
  override readonly name = 'TwinGoneError';
}

/**
 * Looks for a twin whose results may be taken; `null` where the task has to be run, and leads.
 *
 * @throws TwinAwaitedError when another one leads.
 */
export async function seekTwin(journal: AttemptJournal, fingerprint: string): Promise<Twin | null> {
  const standing = await journal.seekTwin(fingerprint);
  switch (standing.kind) {
    case 'takes':
      return standing.twin;
    case 'follows':
      throw new TwinAwaitedError('An identical task is worked on');
    default:
      return null;
  }
}

/**
 * Copies what the twin stored to objects of the task's own: either one may be removed without the
 * other.
 *
 * @throws TwinGoneError where they are gone or the store fails, which is no reason for a task to fail;
 *   the signal's reason.
 */
export async function copyOutputs(
  store: Pick<ObjectStore, 'copy'>,
  claim: Claim,
  { taskId, outputs }: Twin,
  onStoring: (key: string) => void,
  signal: AbortSignal,
): Promise<TaskOutput[]> {
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
    const key = resultKey(claim, { output: name, index, isMain: place === 0, extension });
    if (!(await copy(fromKey, key))) {
      throw new TwinGoneError(`The results of the identical task ${taskId} cannot be had`);
    }
    const hasThumbnail = fromThumbnail && (await copy(fromThumbnail, thumbnailKey(key)));
    const own = { key, thumbnailKey: hasThumbnail ? thumbnailKey(key) : null };
    copies.push({ ...output, ...own, takenFrom: taskId });
  }
  return copies;
}
