import type PQueue from 'p-queue';

/** Does the work when its turn among the transfers of its kind has come. */
export async function inTurn<T>(
  queue: PQueue,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  return (await queue.add(work, { signal })) as T;
}
