import { resultOwnerOf } from '../../core/attempt.ts';
import type { TaskOutput } from '../../core/task.ts';
import type { Attempt } from '../attempt-parts.ts';
import { copyOutputs } from './copy-outputs.ts';

/**
 * Completes the run: its first task has the outputs, and each other one that has come to wait for it copies
 * of its own.
 */
export async function deliver(
  { journal, seat, store, uploads, onStoring, signal }: Attempt,
  outputs: readonly TaskOutput[],
  results: 'made' | 'taken',
): Promise<void> {
  const { task } = journal.claim;
  const deliveries = new Map([[task.id, outputs]]);
  const body = { backend: seat.backend.label, results };
  for (;;) {
    const completion = await journal.complete(deliveries, body);
    if (completion.kind === 'completed') {
      const isWanted = completion.taskIds.includes(task.id);
      // The task was canceled while others wait for the same: they have copies.
      if (!isWanted)
        await Promise.allSettled(keysOf(outputs).map((key) => store.delete(key, signal)));
      return;
    }
    for (const sharer of completion.missing) {
      const to = resultOwnerOf(journal.claim, sharer);
      const made = { taskId: task.id, outputs };
      const copies = await uploads.run({ tenant: task.tenant }, signal, () =>
        copyOutputs(store, made, to, onStoring, signal),
      );
      if (copies) deliveries.set(sharer.id, copies);
      else await journal.separate([sharer.id]);
    }
  }
}

function keysOf(outputs: readonly TaskOutput[]): string[] {
  return outputs.flatMap(({ key, thumbnailKey }) => [key, ...(thumbnailKey ? [thumbnailKey] : [])]);
}
