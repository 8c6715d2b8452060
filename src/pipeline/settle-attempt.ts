import { ClaimLostError } from '../tasks/attempt-store.ts';
import { toStoreError } from '../tasks/errors.ts';
import { folderOf } from './attempt-folder.ts';
import type { JournalStores } from './attempt-journal.ts';
import type { AttemptParts } from './attempt-parts.ts';
import type { Outcome } from './outcome.ts';
import {
  type EndedAttempt,
  judgeBackend,
  type SettleParts,
  settleFailure,
  settlePlainly,
  settleSuccess,
} from './settle-failure.ts';
import { withdrawPrompt } from './withdraw-prompt.ts';

export interface SettlementParts
  extends SettleParts,
    Pick<AttemptParts, 'store' | 'lease'>,
    Pick<JournalStores, 'attempts'> {}

/**
 * Does what the outcome asks for, of the run and of the backend. Never throws. A gateway that stops
 * withdraws and removes nothing any more once `graceOver` aborts.
 */
export async function settleAttempt(
  parts: SettlementParts,
  ended: EndedAttempt,
  outcome: Outcome,
  graceOver: AbortSignal,
): Promise<void> {
  await settle(parts, ended, outcome, graceOver).catch((error) =>
    settleUnrecorded(ended, outcome, error),
  );
}

/**
 * What an attempt stored that came to nothing is nobody's. It has to be sure: a commit whose answer
 * was lost may stand, and a gateway that adopted the attempt stores under the same keys.
 */
export async function removeStored(
  { attempts, store, tempo }: SettlementParts,
  { journal, log }: EndedAttempt,
  keys: readonly string[],
  graceOver: AbortSignal,
): Promise<void> {
  if (keys.length === 0) return;
  try {
    if (!(await attempts.isDiscardable(journal.claim))) return;
    const deadline = AbortSignal.any([
      AbortSignal.timeout(tempo.attempt.removeDeadlineMs),
      graceOver,
    ]);
    await Promise.all(
      keys.flatMap((key) => [store.delete(key, deadline), store.abandon(key, deadline)]),
    );
  } catch (error) {
    log.objectsLeft(error);
  }
}

async function settle(
  parts: SettlementParts,
  ended: EndedAttempt,
  outcome: Outcome,
  graceOver: AbortSignal,
): Promise<void> {
  const { journal, seat, log } = ended;
  switch (outcome.kind) {
    case 'made':
      return await settleSuccess(parts, ended);
    case 'taken':
      // It says nothing of the backend in front of which the run happened to have its seat.
      return;
    case 'joined':
      return log.undone('An identical task is worked on');
    case 'undone':
      log.undone(outcome.reason);
      await seat.backend.inputs.remove(folderOf(journal));
      return await journal.undo(outcome.avoid);
    case 'handed-over':
      log.detached();
      return await journal.handBack();
    case 'undecided':
      // What runs goes on, and whoever reaches the database first takes the attempt over when its
      // lease has run out.
      return log.detached();
    case 'lost':
      log.claimLost();
      // What clients canceled comes off its backend. What another gateway has taken over is left alone.
      if (await journal.isCanceled()) await withdraw(parts, ended, graceOver);
      return;
    case 'failed':
      judgeBackend(parts, ended, outcome.failure);
      // Whatever becomes of the run, nothing of this attempt stays on the backend; while something
      // runs there, its GPU stays taken.
      await withdraw(parts, ended, graceOver);
      return await settleFailure(parts, ended, outcome.failure);
  }
}

/**
 * Ends a run whose failure cannot be written down: every gateway that adopts the attempt would fail at it
 * again. At a shutdown and without the database, the lease runs out and the run stays as it is.
 */
async function settleUnrecorded(
  ended: EndedAttempt,
  { kind }: Outcome,
  error: unknown,
): Promise<void> {
  const { log } = ended;
  if (error instanceof ClaimLostError) return log.claimLost();
  log.unsettled(error);
  const isOver = kind === 'made' || kind === 'handed-over';
  if (isOver || toStoreError(error).code === 'unavailable') return;
  try {
    await settlePlainly(ended);
  } catch (again) {
    if (again instanceof ClaimLostError) log.claimLost();
    else log.unsettled(again);
  }
}

async function withdraw(
  { lease, tempo }: SettlementParts,
  { journal, seat: { backend }, log }: EndedAttempt,
  graceOver: AbortSignal,
): Promise<void> {
  // Its successor may be at work there, with the same prompt.
  if (!lease.isSure) return;
  const promptId = journal.postedPromptId;
  try {
    if (promptId) {
      const deadline = AbortSignal.any([
        AbortSignal.timeout(tempo.attempt.withdrawPatienceMs),
        graceOver,
      ]);
      await withdrawPrompt(backend, promptId, tempo.attempt, deadline);
      await backend.client.forget(promptId, deadline);
    }
    await backend.inputs.remove(folderOf(journal));
    await journal.close();
  } catch (error) {
    log.withdrawFailed(error);
    if (promptId) backend.leaveBehind(promptId);
  }
}
