import type { PictureKind } from '../../../core/media.ts';
import type { ResultService } from '../../../tasks/result-service.ts';
import type { TaskView } from '../../../tasks/task-service.ts';
import type { TaskOwner } from '../../../tasks/task-store.ts';

/** A result whose client gives no sign for so long is abandoned, milliseconds. */
const abandonedMs = 10 * 60_000;
/** Signs come every few seconds. One in so long is written down, and the result stays so much longer. */
const signEveryMs = 5 * 60_000;

/** How long a result stays of which nothing is heard. */
export const keepMs = abandonedMs + signEveryMs;

/** How long it stays after its client has said that it has it. */
export const graceMs: Readonly<Record<PictureKind, number>> = {
  image: 60 * 60_000,
  video: 180 * 60_000,
};

/** Whether the result of a completed task is there no more, or may go at any moment. */
export function isGone({ removedAt, keepUntil }: TaskView, now: Date): boolean {
  return removedAt !== null || (keepUntil !== null && keepUntil <= now);
}

/** A client is still there: the result stays for it. */
export async function noteSign(
  results: Pick<ResultService, 'keep'>,
  { id, state, keepUntil }: TaskView,
  owner: TaskOwner,
): Promise<void> {
  if (state !== 'completed' || keepUntil === null) return;
  if (keepUntil.getTime() - Date.now() < abandonedMs) await results.keep(id, owner, keepMs);
}
