import type PQueue from 'p-queue';

/** Does the work when its turn among the transfers of its kind has come; a lower priority comes later. */
export async function inTurn<T>(
  queue: PQueue,
  signal: AbortSignal,
  work: () => Promise<T>,
  priority = 0,
): Promise<T> {
  return (await queue.add(work, { signal, priority })) as T;
}
