import { setTimeout as delay } from 'node:timers/promises';
import type { Pool } from '../comfyui/pool.ts';
import type { ClaimStore } from '../tasks/claim-store.ts';
import type { TaskStore } from '../tasks/task-store.ts';
import type { TaskLog } from '../telemetry/task-log.ts';
import type { Dispatcher } from './dispatcher.ts';
import { withdrawPrompt } from './withdraw-prompt.ts';

/** How long a claim holds; three renewals may fail before it is lost. */
export const leaseMs = 15_000;
const renewEveryMs = 4_000;
const sweepEveryMs = 3_000;
/** A backend that nobody has reached for so long takes its prompts with it. */
const abandonedAfterMs = 60_000;
/** The gateway that ended the task has had its time to clear up. */
const leftoverAfterMs = 90_000;

export interface RecoveryParts {
  readonly claims: ClaimStore;
  readonly tasks: TaskStore;
  readonly pool: Pool;
  readonly dispatcher: Dispatcher;
  readonly log: TaskLog;
}

/**
 * Keeps this gateway's claims alive and picks up what others dropped: tasks of gateways that died,
 * tasks whose waiting time is over, prompts that nobody wants any more.
 */
export class Recovery {
  readonly #parts: RecoveryParts;
  readonly #stop = new AbortController();
  #loops: Promise<unknown> | null = null;

  constructor(parts: RecoveryParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#loops ??= Promise.all([
      this.#every(renewEveryMs, () => this.renew()),
      this.#every(sweepEveryMs, () => this.sweep()),
    ]);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#loops;
  }

  /** One round of renewing; a claim that is no longer ours is let go at once. */
  async renew(): Promise<void> {
    const { claims, dispatcher } = this.#parts;
    const held = dispatcher.taskIds;
    const ours = await claims.renew(held);
    for (const id of held) if (!ours.has(id)) dispatcher.lose(id);
  }

  /** One round of picking up. */
  async sweep(): Promise<void> {
    const { claims, pool, dispatcher, log } = this.#parts;
    for (const claim of await claims.takeOver(pool.ids)) {
      log.attemptAdopted(claim);
      dispatcher.adopt(claim);
    }
    const requeued = await claims.requeueAbandoned(abandonedAfterMs);
    const woken = await claims.wakeWaiting();
    if (requeued + woken > 0) dispatcher.wake();
    await this.#withdrawLeftovers();
  }

  async #withdrawLeftovers(): Promise<void> {
    const { claims, tasks, pool } = this.#parts;
    for (const { id, backend, promptId } of await tasks.leftovers(leftoverAfterMs)) {
      const client = pool.get(backend)?.client;
      if (!client) continue;
      await withdrawPrompt(client, promptId, AbortSignal.timeout(sweepEveryMs)).then(
        () => claims.closeAttempt(id),
        // It is tried again with the next sweep.
        () => {},
      );
    }
  }

  async #every(periodMs: number, round: () => Promise<void>): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await round().catch((error) => this.#parts.log.recoveryFailed(error));
      await delay(periodMs, undefined, { signal }).catch(() => {});
    }
  }
}
