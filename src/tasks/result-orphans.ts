import { taskOfResult } from '../core/result-key.ts';
import type { Tempo } from '../core/tempo.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { ResultLog } from '../telemetry/result-log.ts';
import type { ResultStore } from './result-store.ts';

export interface OrphanParts {
  readonly results: Pick<ResultStore, 'unused'>;
  readonly store: Pick<ObjectStore, 'stat' | 'delete' | 'keys'>;
  readonly log: ResultLog;
  readonly tempo: Pick<Tempo['results'], 'youngMs'>;
}

const lookedUpAtOnce = 500;

/**
 * Removes the objects of tasks that have ended without them: their gateway died between storing and
 * writing it down. Objects of tasks that the database does not know are another's, as are uploads and
 * whatever else lies in the store: they stay. A store that lists no keys keeps its orphans.
 */
export async function removeOrphans(parts: OrphanParts, signal: AbortSignal): Promise<void> {
  const { store, log } = parts;
  let count = 0;
  try {
    let batch: { key: string; taskId: string }[] = [];
    for await (const key of store.keys?.(signal) ?? []) {
      const taskId = taskOfResult(key);
      if (taskId === null) continue;
      batch.push({ key, taskId });
      if (batch.length < lookedUpAtOnce) continue;
      count += await removeUnused(parts, batch, signal);
      batch = [];
    }
    count += await removeUnused(parts, batch, signal);
  } catch (error) {
    if (!signal.aborted) log.sweepFailed(error);
  }
  if (count > 0) log.orphansRemoved(count);
}

async function removeUnused(
  { results, store, tempo }: OrphanParts,
  objects: readonly { readonly key: string; readonly taskId: string }[],
  signal: AbortSignal,
): Promise<number> {
  let count = 0;
  for (const key of await results.unused(objects)) {
    const stat = await store.stat(key, signal);
    if (!stat || Date.now() - stat.modifiedAt.getTime() < tempo.youngMs) continue;
    await store.delete(key, signal);
    count += 1;
  }
  return count;
}
