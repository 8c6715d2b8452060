import { setTimeout as delay } from 'node:timers/promises';
import type { Backend } from '../comfyui/backend.ts';
import type { Pool } from '../comfyui/pool.ts';
import type { Seat } from '../comfyui/seat.ts';
import type { Claim } from '../core/attempt.ts';
import { GatewayError } from '../core/errors.ts';
import { defaultRetryPolicy, nextStep } from '../core/next-step.ts';
import type { TaskError } from '../core/task.ts';
import { ClaimLostError, type ClaimStore } from '../tasks/claim-store.ts';
import { toStoreError } from '../tasks/errors.ts';
import type { TaskEvents } from '../tasks/task-events.ts';
import type { TaskLog } from '../telemetry/task-log.ts';
import { type AttemptParts, runAttempt } from './attempt.ts';
import { AttemptJournal } from './attempt-journal.ts';
import { withdrawPrompt } from './withdraw-prompt.ts';

/** Looks at the queue at least so often: a notice may have been lost. */
const backstopMs = 1_000;
/** After that a prompt which cannot be withdrawn is left to the sweep. */
const withdrawMs = 60_000;

/** The gateway stops: a prompt that runs is left to run, and adopted by the next gateway. */
class ShutdownError extends Error {
  override readonly name = 'ShutdownError';
}

export interface DispatcherParts extends AttemptParts {
  readonly claims: ClaimStore;
  readonly pool: Pool;
  readonly events: TaskEvents;
  readonly log: TaskLog;
}

interface RunningAttempt {
  readonly claim: Claim;
  readonly abort: AbortController;
  readonly done: Promise<void>;
}

/** Gives tasks to backends that have room, and sees each attempt through to what becomes of its task. */
export class Dispatcher {
  readonly #parts: DispatcherParts;
  readonly #stop = new AbortController();
  readonly #running = new Map<string, RunningAttempt>();
  #wake = Promise.withResolvers<void>();
  #loop: Promise<void> | null = null;

  constructor(parts: DispatcherParts) {
    this.#parts = parts;
  }

  start(): void {
    const { events, pool } = this.#parts;
    events.on('ready', this.wake);
    events.on('canceled', (taskId) => this.lose(taskId));
    pool.start(this.wake);
    this.#loop ??= this.#run();
  }

  /** There may be something to do. */
  readonly wake = (): void => this.#wake.resolve();

  /** The tasks that are worked on here. */
  get taskIds(): string[] {
    return [...this.#running.keys()];
  }

  /** Stops work on a task that is no longer ours, and takes its prompt off the backend. */
  lose(taskId: string): void {
    this.#running.get(taskId)?.abort.abort(new ClaimLostError(taskId));
  }

  /** Takes up the attempt of a dead gateway, on the backend where its prompt is. */
  adopt(claim: Claim): void {
    const backend = this.#parts.pool.get(claim.attempt.backend);
    if (backend) this.#begin(claim, this.#parts.pool.seatAt(backend));
  }

  /** Hands over: takes nothing new, lets go of what runs, interrupts no GPU. */
  async stop(): Promise<void> {
    this.#parts.events.off('ready', this.wake);
    this.#stop.abort();
    this.wake();
    await this.#loop;
    for (const { abort } of this.#running.values()) abort.abort(new ShutdownError());
    await Promise.all([...this.#running.values()].map(({ done }) => done));
  }

  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      this.#wake = Promise.withResolvers<void>();
      try {
        await this.#fillRoom();
      } catch (error) {
        this.#parts.log.dispatchFailed(error);
      }
      await this.#nextWake();
    }
  }

  async #nextWake(): Promise<void> {
    const timer = new AbortController();
    const backstop = delay(backstopMs, undefined, { signal: timer.signal }).catch(() => {});
    await Promise.race([this.#wake.promise, backstop]);
    timer.abort();
  }

  /** Claims a task for each backend that has room: its GPU is idle, or will want the next one. */
  async #fillRoom(): Promise<void> {
    const { pool, claims, workflows } = this.#parts;
    for (const backend of pool.withRoom()) {
      if (this.#stop.signal.aborted) return;
      const claim = await claims.claim(backend.id, workflows.names);
      if (!claim) return;
      const seat = pool.seatBefore(backend);
      if (seat) this.#begin(claim, seat);
      // It went away meanwhile.
      else await claims.handBack(claim, null);
    }
  }

  #begin(claim: Claim, seat: Seat): void {
    const abort = new AbortController();
    const done = this.#attempt(claim, seat, abort.signal).finally(() => {
      this.#running.delete(claim.task.id);
    });
    this.#running.set(claim.task.id, { claim, abort, done });
  }

  /** Runs the attempt and settles its task. Never throws. */
  async #attempt(claim: Claim, seat: Seat, signal: AbortSignal): Promise<void> {
    const { claims, log } = this.#parts;
    const journal = new AttemptJournal(claims, claim);
    using _seat = seat;
    try {
      log.attemptStarted(claim);
      if (claim.attempt.number > defaultRetryPolicy.maxAttempts) throw exhausted();
      await runAttempt({ ...this.#parts, journal, seat, signal });
      log.taskCompleted(claim);
    } catch (thrown) {
      await this.#settle(journal, seat, signal.aborted ? signal.reason : thrown).catch(
        // The lease runs out, and whoever sweeps next finds the task as it is.
        (error) => log.settleFailed(claim, error),
      );
    }
  }

  async #settle(journal: AttemptJournal, seat: Seat, thrown: unknown): Promise<void> {
    const { claims, log } = this.#parts;
    const { claim } = journal;
    if (thrown instanceof ShutdownError) {
      log.attemptDetached(claim);
      return await journal.handBack();
    }
    const failure = toStoreError(thrown);
    // Without the database nothing can be decided. What runs goes on, and whoever reaches the
    // database first takes the attempt over when its lease has run out.
    if (failure.code === 'unavailable') return log.attemptDetached(claim);
    // Whatever becomes of the task, nothing of this attempt stays on the backend; while something
    // runs there, the slot stays taken.
    await withdraw(journal, seat.backend, claims, log);
    if (thrown instanceof ClaimLostError) return log.claimLost(claim);

    const next = nextStep(failure, claim.attempt.number, Math.random());
    const error: TaskError = {
      code: failure.code,
      message: failure.message,
      stage: journal.stage,
      attempt: claim.attempt.number,
    };
    log.attemptFailed(claim, failure, next);
    if (next.kind === 'fail') await claims.fail(claim, error);
    else await claims.retry(claim, error, next.afterMs);
  }
}

async function withdraw(
  { claim, promptId }: AttemptJournal,
  { client }: Backend,
  claims: ClaimStore,
  log: TaskLog,
): Promise<void> {
  try {
    if (promptId) {
      const deadline = AbortSignal.timeout(withdrawMs);
      await withdrawPrompt(client, promptId, deadline);
      await client.forget(promptId, deadline);
    }
    await claims.closeAttempt(claim.attempt.id);
  } catch (error) {
    log.withdrawFailed(claim, error);
  }
}

function exhausted(): GatewayError {
  return new GatewayError(
    'attempts_exhausted',
    'The task was begun several times and never came to an end',
  );
}
