import { setTimeout as delay } from 'node:timers/promises';
import type { LeaseClock } from '../pool/lease-clock.ts';
import type { Pool } from '../pool/pool.ts';
import type { AttemptStore } from '../tasks/attempt-store.ts';
import type { ClaimStore } from '../tasks/claim-store.ts';
import type { TaskStore } from '../tasks/task-store.ts';
import type { TaskLog } from '../telemetry/task-log.ts';
import { attemptFolder } from './attempt-folder.ts';
import type { Dispatcher } from './dispatcher.ts';
import type { RunningAttempts } from './running-attempts.ts';
import { withdrawPrompt } from './withdraw-prompt.ts';

/** Three renewals may fail before a claim is lost. */
const renewEveryMs = 3_000;
const sweepEveryMs = 2_000;
/** A backend that nobody has reached for so long takes its prompts with it. */
const abandonedAfterMs = 60_000;
/** The gateway that ended the task has had its time to clear up. */
const leftoverAfterMs = 90_000;

export interface RecoveryParts {
  readonly claims: ClaimStore;
  readonly attempts: AttemptStore;
  readonly tasks: TaskStore;
  readonly pool: Pool;
  readonly running: RunningAttempts;
  readonly dispatcher: Dispatcher;
  readonly lease: LeaseClock;
  readonly log: TaskLog;
}

/**
 * Keeps this gateway's claims alive and picks up what others dropped: tasks of gateways that died,
 * tasks whose waiting time is over, prompts that nobody wants any more.
 */
export class Recovery {
  readonly #parts: RecoveryParts;
  readonly #stop = new AbortController();
  readonly #stopSweeping = new AbortController();
  #loops: Promise<unknown> | null = null;

  constructor(parts: RecoveryParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#loops ??= Promise.all([
      this.#every(renewEveryMs, this.#stop.signal, () => this.renew()),
      this.#every(sweepEveryMs, this.#stopSweeping.signal, () => this.sweep()),
    ]);
  }

  /** Takes nothing more on; what is held is kept. */
  stopSweeping(): void {
    this.#stopSweeping.abort();
  }

  async stop(): Promise<void> {
    this.stopSweeping();
    this.#stop.abort();
    await this.#loops;
  }

  /** One round of renewing; a claim that is no longer ours is let go at once. */
  async renew(): Promise<void> {
    const { claims, running, lease } = this.#parts;
    const held = running.taskIds;
    const askedAt = performance.now();
    const ours = await claims.renew(held);
    for (const id of held) if (!ours.has(id)) running.lose(id);
    lease.renewed('claims', askedAt);
  }

  /** One round of picking up. */
  async sweep(): Promise<void> {
    const { claims, pool, running, dispatcher, log } = this.#parts;
    for (const claim of await claims.takeOver(pool.labels, running.taskIds)) {
      log.attemptAdopted(claim);
      dispatcher.adopt(claim);
    }
    const requeued = await claims.requeueAbandoned(abandonedAfterMs, running.taskIds);
    const woken = await claims.wakeWaiting();
    if (requeued + woken > 0) dispatcher.wake();
    for (const task of await claims.expireQueued()) log.taskExpired(task);
    await this.#withdrawLeftovers();
  }

  async #withdrawLeftovers(): Promise<void> {
    const { attempts, tasks, pool } = this.#parts;
    for (const { id, backend: label, promptId } of await tasks.leftovers(leftoverAfterMs)) {
      const backend = pool.get(label);
      if (!backend) continue;
      const deadline = AbortSignal.timeout(sweepEveryMs);
      await withdrawPrompt(backend.client, promptId, backend.hasJobs, deadline).then(
        async () => {
          await backend.inputs.remove(attemptFolder(id));
          await attempts.close(id);
        },
        // It is tried again with the next sweep.
        () => {},
      );
    }
  }

  async #every(periodMs: number, signal: AbortSignal, round: () => Promise<void>): Promise<void> {
    while (!signal.aborted) {
      await round().catch((error) => this.#parts.log.recoveryFailed(error));
      await delay(periodMs, undefined, { signal }).catch(() => {});
    }
  }
}
