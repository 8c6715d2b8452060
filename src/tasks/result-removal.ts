import type { Tempo } from '../core/tempo.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { ResultLog } from '../telemetry/result-log.ts';
import type { ExpiredResult, ResultStore } from './result-store.ts';

export interface RemovalParts {
  readonly results: ResultStore;
  readonly store: Pick<ObjectStore, 'delete'>;
  readonly log: ResultLog;
  readonly tempo: Pick<Tempo['results'], 'deleteDeadlineMs'>;
}

/** Tasks whose objects are removed at the same time. */
const atOnce = 8;

/**
 * Removes the expired results of these tasks from the store: the objects first, then the record says
 * so. After a crash between the two it is done again; the same by two gateways at once does no harm.
 * Returns of how many tasks they are gone; those of the others are left to the next sweep.
 */
export async function removeExpired(
  { results, store, log, tempo }: RemovalParts,
  taskIds: readonly string[],
): Promise<number> {
  const expired = await results.expired(taskIds);
  const removed: string[] = [];
  const left = expired.values();
  const removeInTurn = async (): Promise<void> => {
    for (const { taskId, keys } of left) {
      try {
        await removeObjects(store, keys, AbortSignal.timeout(tempo.deleteDeadlineMs));
        removed.push(taskId);
      } catch (error) {
        log.removalFailed(taskId, error);
      }
    }
  };
  await Promise.all(Array.from({ length: atOnce }, removeInTurn));
  await results.recordRemoved(removed);
  if (removed.length > 0) log.removed(removed.length);
  return removed.length;
}

async function removeObjects(
  store: RemovalParts['store'],
  keys: ExpiredResult['keys'],
  deadline: AbortSignal,
): Promise<void> {
  await Promise.all(keys.map((key) => store.delete(key, deadline)));
}
