import { setTimeout as delay } from 'node:timers/promises';
import type { Claim } from '../core/attempt.ts';
import { GatewayError } from '../core/errors.ts';
import type { Tempo } from '../core/tempo.ts';
import { isUploadUrl } from '../core/upload.ts';
import type { Seat } from '../pool/seat.ts';
import { SeatLostError } from '../pool/waiting-room.ts';
import { type AttemptStore, ClaimLostError } from '../tasks/attempt-store.ts';
import { isBegunInVain } from '../tasks/claim-store.ts';
import { toStoreError } from '../tasks/errors.ts';
import type { UploadService } from '../tasks/upload-service.ts';
import { reached } from '../telemetry/milestones.ts';
import type { TaskLog } from '../telemetry/task-log.ts';
import { type AttemptParts, NeverPostedError, runAttempt } from './attempt.ts';
import { attemptFolder } from './attempt-folder.ts';
import { AttemptJournal } from './attempt-journal.ts';
import {
  type EndedAttempt,
  judgeBackend,
  type SettleParts,
  settleFailure,
  settlePlainly,
  settleSuccess,
} from './settle-failure.ts';
import { TwinAwaitedError, TwinGoneError } from './twin.ts';
import { withdrawPrompt } from './withdraw-prompt.ts';

/** The gateway stops: a prompt that runs is left to run, and adopted by the next gateway. */
class ShutdownError extends Error {
  override readonly name = 'ShutdownError';
}

export interface RunningParts extends AttemptParts, SettleParts {
  readonly attempts: AttemptStore;
  readonly uploadService: Pick<UploadService, 'release'>;
  readonly tempo: Tempo;
  readonly log: TaskLog;
}

interface Running {
  readonly journal: AttemptJournal;
  readonly abort: AbortController;
  readonly done: Promise<void>;
}

/** The attempts that this gateway works on, each seen through to what becomes of its task. */
export class RunningAttempts {
  readonly #parts: RunningParts;
  readonly #running = new Map<string, Running>();
  readonly #graceOver = new AbortController();

  constructor(parts: RunningParts) {
    this.#parts = parts;
  }

  /** The tasks that are worked on. */
  get taskIds(): string[] {
    return [...this.#running.keys()];
  }

  /** Whether anything may be begun: not by a gateway that slept, until it has renewed its leases. */
  get mayBegin(): boolean {
    return this.#parts.lease.isSure;
  }

  /** Works on the task from here on; its seat is given up in the end. */
  begin(claim: Claim, seat: Seat): void {
    // It was lost to another gateway, and came back, before a renewal could tell.
    this.lose(claim.task.id);
    const abort = new AbortController();
    const journal = new AttemptJournal(this.#parts.attempts, claim, this.#parts.tempo.journal);
    const attempt = this.#attempt(journal, seat, abort.signal).then(() => this.#tidy(claim));
    const done = attempt.finally(() => {
      // By then another attempt of the same task may have begun here.
      if (this.#running.get(claim.task.id)?.journal === journal) {
        this.#running.delete(claim.task.id);
      }
    });
    this.#running.set(claim.task.id, { journal, abort, done });
  }

  /** Gives a claim back that nothing was done for. */
  async giveBack(claim: Claim): Promise<void> {
    await this.#parts.attempts.handBack(claim, false);
  }

  /** Stops work on a task that is no longer ours. */
  lose(taskId: string): void {
    this.#running.get(taskId)?.abort.abort(new ClaimLostError(taskId));
  }

  /**
   * Lets go of everything, so that other gateways can go on with it: at once of what waits or runs, and
   * after `graceMs` of results that are on their way to the store and of prompts that are withdrawn.
   */
  async detach(graceMs: number): Promise<void> {
    const all = [...this.#running.values()];
    const grace = new AbortController();
    const isOver = delay(graceMs, undefined, { signal: grace.signal }).then(
      () => this.#graceOver.abort(),
      () => {},
    );
    await Promise.all(
      all.map(async ({ journal, abort, done }) => {
        if (journal.stage === 'upload') await Promise.race([done, isOver]);
        abort.abort(new ShutdownError());
        await done;
      }),
    );
    grace.abort();
  }

  /** Runs the attempt and settles its task. Never throws. */
  async #attempt(journal: AttemptJournal, seat: Seat, signal: AbortSignal): Promise<void> {
    const { claim } = journal;
    const log = this.#parts.log.attempt(claim, seat);
    const ended = { journal, seat, log };
    const stored: string[] = [];
    using _seat = seat;
    try {
      log.started();
      reached('claimed');
      if (isBegunInVain(claim)) throw exhausted();
      const onStoring = (key: string) => void stored.push(key);
      const end = await runAttempt({ ...this.#parts, ...ended, onStoring, signal });
      log.completed(end);
      // It says nothing of the backend in front of which the task happened to have its seat.
      if (end === 'taken') return;
    } catch (thrown) {
      const reason = signal.aborted ? signal.reason : thrown;
      await this.#settle(ended, reason).catch((error) => this.#unsettled(ended, reason, error));
      await this.#removeStored(ended, stored);
      return;
    }
    await settleSuccess(this.#parts, ended).catch((error) => log.unsettled(error));
  }

  /**
   * What an attempt stored that came to nothing is nobody's. It has to be sure: a commit whose answer
   * was lost may stand, and a gateway that adopted the attempt stores under the same keys.
   */
  async #removeStored({ journal, log }: EndedAttempt, keys: readonly string[]): Promise<void> {
    if (keys.length === 0) return;
    const { attempts, store } = this.#parts;
    try {
      if (!(await attempts.wasInVain(journal.claim))) return;
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
  async #tidy({ task }: Claim): Promise<void> {
    if (!task.sources.some(({ url }) => isUploadUrl(url))) return;
    await this.#parts.uploadService.release(task.id);
  }

  async #settle(ended: EndedAttempt, thrown: unknown): Promise<void> {
    const { journal, seat, log } = ended;
    if (thrown instanceof ShutdownError) {
      log.detached();
      return await journal.handBack();
    }
    if (thrown instanceof TwinAwaitedError) return log.undone(thrown.message);
    if (thrown instanceof TwinGoneError) await journal.forgetTwins();
    if (isUndone(thrown)) {
      log.undone(thrown.message);
      await seat.backend.inputs.remove(attemptFolder(journal.claim.attempt.id));
      return await journal.undo();
    }
    if (thrown instanceof ClaimLostError) return await this.#lost(ended);

    const failure = toStoreError(thrown);
    // Without the database nothing can be decided. What runs goes on, and whoever reaches the
    // database first takes the attempt over when its lease has run out.
    if (failure.code === 'unavailable') return log.detached();
    judgeBackend(this.#parts, ended, failure);
    // Whatever becomes of the task, nothing of this attempt stays on the backend; while something
    // runs there, its GPU stays taken.
    await this.#withdraw(ended);
    await settleFailure(this.#parts, ended, failure);
  }

  /**
   * Ends a task whose failure cannot be written down: every gateway that adopts the attempt would fail
   * at it again. At a shutdown and without the database, the lease runs out and the task stays as it is.
   */
  async #unsettled(ended: EndedAttempt, thrown: unknown, error: unknown): Promise<void> {
    const { log } = ended;
    if (error instanceof ClaimLostError) return log.claimLost();
    log.unsettled(error);
    if (thrown instanceof ShutdownError || toStoreError(error).code === 'unavailable') return;
    try {
      await settlePlainly(ended);
    } catch (again) {
      if (again instanceof ClaimLostError) log.claimLost();
      else log.unsettled(again);
    }
  }

  /** What a client canceled comes off its backend. What another gateway has taken over is left alone. */
  async #lost(ended: EndedAttempt): Promise<void> {
    ended.log.claimLost();
    if (await ended.journal.isCanceled()) await this.#withdraw(ended);
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
      await backend.inputs.remove(attemptFolder(journal.claim.attempt.id));
      await journal.close();
    } catch (error) {
      log.withdrawFailed(error);
    }
  }
}

/** The task is where it was before the attempt. */
function isUndone(thrown: unknown): thrown is Error {
  return (
    thrown instanceof SeatLostError ||
    thrown instanceof NeverPostedError ||
    thrown instanceof TwinGoneError
  );
}

function exhausted(): GatewayError {
  return new GatewayError(
    'attempts_exhausted',
    'The task was begun several times and never came to an end',
  );
}
