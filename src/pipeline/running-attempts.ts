import { setTimeout as delay } from 'node:timers/promises';
import type { Claim } from '../core/attempt.ts';
import { GatewayError } from '../core/errors.ts';
import type { Tempo } from '../core/tempo.ts';
import { isUploadUrl } from '../core/upload.ts';
import type { Seat } from '../pool/seat.ts';
import { ClaimLostError } from '../tasks/attempt-store.ts';
import { hasExhaustedStarts } from '../tasks/claim-store.ts';
import { toStoreError } from '../tasks/errors.ts';
import type { UploadService } from '../tasks/upload-service.ts';
import { reached } from '../telemetry/milestones.ts';
import type { TaskLog } from '../telemetry/task-log.ts';
import { runAttempt } from './attempt.ts';
import { folderOf } from './attempt-folder.ts';
import { AttemptJournal, type JournalStores } from './attempt-journal.ts';
import type { AttemptParts } from './attempt-parts.ts';
import { type Interruption, type Outcome, outcomeOf } from './outcome.ts';
import {
  type EndedAttempt,
  judgeBackend,
  type SettleParts,
  settleFailure,
  settlePlainly,
  settleSuccess,
} from './settle-failure.ts';
import { withdrawPrompt } from './withdraw-prompt.ts';

export interface RunningParts extends AttemptParts, SettleParts, JournalStores {
  readonly uploadService: Pick<UploadService, 'release'>;
  readonly tempo: Tempo;
  readonly log: TaskLog;
}

interface Running {
  readonly journal: AttemptJournal;
  /** Its reason is an `Interruption`. */
  readonly abort: AbortController;
  readonly done: Promise<void>;
}

/** The attempts that this gateway works on, each seen through to what becomes of its run. */
export class RunningAttempts {
  readonly #parts: RunningParts;
  /** By the run. */
  readonly #running = new Map<string, Running>();
  readonly #graceOver = new AbortController();

  constructor(parts: RunningParts) {
    this.#parts = parts;
  }

  /** The runs that are worked on. */
  get runIds(): string[] {
    return [...this.#running.keys()];
  }

  /** Whether anything may be begun: not by a gateway that slept, until it has renewed its leases. */
  get mayBegin(): boolean {
    return this.#parts.lease.isSure;
  }

  /** Works on the run from here on; its seat is given up in the end. */
  begin(claim: Claim, seat: Seat): void {
    const { id } = claim.run;
    // It was lost to another gateway, and came back, before a renewal could tell.
    this.lose(id);
    const abort = new AbortController();
    const journal = new AttemptJournal(this.#parts, claim, this.#parts.tempo.journal);
    const attempt = this.#attempt(journal, seat, abort.signal).then(() => this.#tidy(claim));
    const done = attempt.finally(() => {
      // By then another attempt of the same run may have begun here.
      if (this.#running.get(id)?.journal === journal) this.#running.delete(id);
    });
    this.#running.set(id, { journal, abort, done });
  }

  /** Gives a claim back that nothing was done for. */
  async giveBack(claim: Claim): Promise<void> {
    await this.#parts.attempts.handBack(claim, false);
  }

  /** Stops work on a run that is no longer ours. */
  lose(runId: string): void {
    const reason: Interruption = 'lost';
    this.#running.get(runId)?.abort.abort(reason);
  }

  /**
   * Lets go of everything, so that other gateways can go on with it: at once of what waits or runs, and
   * after `graceMs` of results that are on their way to the store and of prompts that are withdrawn.
   */
  async detach(graceMs: number): Promise<void> {
    const reason: Interruption = 'stopping';
    const all = [...this.#running.values()];
    const grace = new AbortController();
    const isOver = delay(graceMs, undefined, { signal: grace.signal }).then(
      () => this.#graceOver.abort(),
      () => {},
    );
    await Promise.all(
      all.map(async ({ journal, abort, done }) => {
        if (journal.stage === 'upload') await Promise.race([done, isOver]);
        abort.abort(reason);
        await done;
      }),
    );
    grace.abort();
  }

  /** Runs the attempt and settles its run. Never throws. */
  async #attempt(journal: AttemptJournal, seat: Seat, signal: AbortSignal): Promise<void> {
    const log = this.#parts.log.attempt(journal.claim, seat);
    const ended = { journal, seat, log };
    const stored: string[] = [];
    using _seat = seat;
    const outcome = await this.#outcome(ended, (key) => void stored.push(key), signal);
    await this.#settle(ended, outcome).catch((error) => this.#unsettled(ended, outcome, error));
    if (outcome.kind !== 'made' && outcome.kind !== 'taken')
      await this.#removeStored(ended, stored);
  }

  async #outcome(
    ended: EndedAttempt,
    onStoring: (key: string) => void,
    signal: AbortSignal,
  ): Promise<Outcome> {
    try {
      ended.log.started();
      reached('claimed');
      if (hasExhaustedStarts(ended.journal.claim)) throw exhausted();
      return await runAttempt({ ...this.#parts, ...ended, onStoring, signal });
    } catch (thrown) {
      return outcomeOf(thrown, signal);
    }
  }

  async #settle(ended: EndedAttempt, outcome: Outcome): Promise<void> {
    const { journal, seat, log } = ended;
    switch (outcome.kind) {
      case 'made':
        return await settleSuccess(this.#parts, ended);
      case 'taken':
        // It says nothing of the backend in front of which the run happened to have its seat.
        return;
      case 'joined':
        return log.undone('An identical task is worked on');
      case 'undone':
        log.undone(outcome.reason);
        await seat.backend.inputs.remove(folderOf(journal));
        return await journal.undo();
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
        if (await journal.isCanceled()) await this.#withdraw(ended);
        return;
      case 'failed':
        judgeBackend(this.#parts, ended, outcome.failure);
        // Whatever becomes of the run, nothing of this attempt stays on the backend; while something
        // runs there, its GPU stays taken.
        await this.#withdraw(ended);
        return await settleFailure(this.#parts, ended, outcome.failure);
    }
  }

  /**
   * Ends a run whose failure cannot be written down: every gateway that adopts the attempt would fail at it
   * again. At a shutdown and without the database, the lease runs out and the run stays as it is.
   */
  async #unsettled(ended: EndedAttempt, { kind }: Outcome, error: unknown): Promise<void> {
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

  /**
   * What an attempt stored that came to nothing is nobody's. It has to be sure: a commit whose answer
   * was lost may stand, and a gateway that adopted the attempt stores under the same keys.
   */
  async #removeStored({ journal, log }: EndedAttempt, keys: readonly string[]): Promise<void> {
    if (keys.length === 0) return;
    const { attempts, store } = this.#parts;
    try {
      if (!(await attempts.isDiscardable(journal.claim))) return;
      const deadline = AbortSignal.any([
        AbortSignal.timeout(this.#parts.tempo.attempt.removeDeadlineMs),
        this.#graceOver.signal,
      ]);
      await Promise.all(
        keys.flatMap((key) => [store.delete(key, deadline), store.abandon(key, deadline)]),
      );
    } catch (error) {
      log.objectsLeft(error);
    }
  }

  /** Files that the client sent for the task are not needed any more if it has ended. */
  async #tidy({ task, run }: Claim): Promise<void> {
    if (!task.sources.some(({ url }) => isUploadUrl(url))) return;
    for (const taskId of run.taskIds) await this.#parts.uploadService.release(taskId);
  }

  async #withdraw({ journal, seat: { backend }, log }: EndedAttempt): Promise<void> {
    const { lease, tempo } = this.#parts;
    // Its successor may be at work there, with the same prompt.
    if (!lease.isSure) return;
    try {
      const promptId = journal.postedPromptId;
      if (promptId) {
        const deadline = AbortSignal.any([
          AbortSignal.timeout(tempo.attempt.withdrawPatienceMs),
          this.#graceOver.signal,
        ]);
        await withdrawPrompt(backend, promptId, tempo.attempt, deadline);
        await backend.client.forget(promptId, deadline);
      }
      await backend.inputs.remove(folderOf(journal));
      await journal.close();
    } catch (error) {
      log.withdrawFailed(error);
    }
  }
}

function exhausted(): GatewayError {
  return new GatewayError(
    'attempts_exhausted',
    'The task was begun several times and never came to an end',
  );
}
