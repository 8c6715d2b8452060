import type { Tempo } from '../core/tempo.ts';
import type { LeaseClock } from '../pool/lease-clock.ts';
import type { Pool } from '../pool/pool.ts';
import type { AttemptStore } from '../tasks/attempt-store.ts';
import type { ClaimStore } from '../tasks/claim-store.ts';
import type { TaskStore } from '../tasks/task-store.ts';
import type { TaskLog } from '../telemetry/task-log.ts';
import { every } from '../timing/every.ts';
import { attemptFolder } from './attempt-folder.ts';
import type { Dispatcher } from './dispatcher.ts';
import type { RunningAttempts } from './running-attempts.ts';
import { withdrawPrompt } from './withdraw-prompt.ts';

export interface RecoveryParts {
  readonly claims: ClaimStore;
  readonly attempts: AttemptStore;
  readonly tasks: TaskStore;
  readonly pool: Pool;
  readonly running: RunningAttempts;
  readonly dispatcher: Dispatcher;
  readonly lease: LeaseClock;
  readonly log: TaskLog;
  readonly tempo: Pick<Tempo, 'lease' | 'recovery' | 'attempt'>;
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
    const { lease, recovery } = this.#parts.tempo;
    const onError = (error: unknown) => this.#parts.log.recoveryFailed(error);
    this.#loops ??= Promise.all([
      every(lease.renewEveryMs, this.#stop.signal, () => this.renew(), { onError }),
      every(recovery.sweepEveryMs, this.#stopSweeping.signal, () => this.sweep(), { onError }),
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
    const held = running.runIds;
    const askedAt = performance.now();
    const ours = await claims.renew(held);
    for (const id of held) if (!ours.has(id)) running.lose(id);
    lease.renewed('claims', askedAt);
  }

  /** One round of picking up. */
  async sweep(): Promise<void> {
    const { claims, pool, running, dispatcher, log, tempo } = this.#parts;
    for (const claim of await claims.takeOver(pool.labels, running.runIds)) {
      log.attemptAdopted(claim);
      dispatcher.adopt(claim);
    }
    const requeued = await claims.requeueAbandoned(tempo.recovery.abandonedAfterMs, running.runIds);
    const woken = await claims.wakeWaiting();
    if (requeued + woken > 0) dispatcher.wake();
    await claims.expireQueued();
    await this.#withdrawLeftovers();
  }

  async #withdrawLeftovers(): Promise<void> {
    const { attempts, tasks, pool, tempo } = this.#parts;
    const { sweepEveryMs, leftoverAfterMs } = tempo.recovery;
    for (const { id, backend: label, promptId } of await tasks.leftovers(leftoverAfterMs)) {
      const backend = pool.get(label);
      if (!backend) continue;
      const deadline = AbortSignal.timeout(sweepEveryMs);
      await withdrawPrompt(backend, promptId, tempo.attempt, deadline).then(
        async () => {
          await backend.inputs.remove(attemptFolder(id));
          await attempts.close(id);
        },
        // It is tried again with the next sweep.
        () => backend.leaveBehind(promptId),
      );
    }
  }
}
