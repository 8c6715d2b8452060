import type { Account } from '../core/caller.ts';
import { GatewayError, limitExceeded } from '../core/errors.ts';
import {
  fileRefusal,
  type Quotas,
  type Standing,
  taskRefusal,
  waitingFull,
} from '../core/quota.ts';
import { reaching } from '../db/errors.ts';
import { Held } from './held.ts';
import type { QuotaStore, Room } from './quota-store.ts';

/** What a request is about to add to what its tenant has. */
export interface Addition {
  readonly task: boolean;
  /** Also one that comes with its task. */
  readonly file: boolean;
}

/**
 * What tenants may have of the gateway. Whoever comes with something is asked early, by figures that are half a second
 * old at most; how many tasks wait is looked at once more by the statement that writes one.
 */
export class TaskQuotas {
  readonly #quotas: Quotas;
  readonly #store: Pick<QuotaStore, 'standing' | 'queue'>;
  readonly #holdMs: number;
  /** By tenant, each of which has a key. */
  readonly #standings = new Map<string, Held<Standing>>();
  readonly #queue: Held<number>;

  constructor(quotas: Quotas, store: Pick<QuotaStore, 'standing' | 'queue'>, holdMs: number) {
    this.#quotas = quotas;
    this.#store = store;
    this.#holdMs = holdMs;
    this.#queue = new Held(holdMs, () => store.queue());
  }

  /** @throws GatewayError `queue_full`, `limit_exceeded`, `unavailable`. */
  async check({ tenant, isLimited }: Account, { task, file }: Addition): Promise<void> {
    const { queue, waiting, storedBytes, gpuSeconds, uploadBytes } = this.#quotas;
    if (task && queue !== null && (await reaching(this.#queue.get())) >= queue) throw queueFull();
    const ofTask = task && (waiting ?? storedBytes ?? gpuSeconds) !== null;
    const ofFile = file && uploadBytes !== null;
    if (!isLimited || !(ofTask || ofFile)) return;
    const standing = await reaching(this.#standing(tenant));
    const refusal =
      (ofTask ? taskRefusal(standing, this.#quotas, Date.now()) : null) ??
      (ofFile ? fileRefusal(standing, this.#quotas) : null);
    if (refusal) throw limitExceeded(refusal);
  }

  /** For the statement that writes a task; `null` where any number may wait. */
  roomFor({ isLimited }: Account): Room | null {
    const { queue } = this.#quotas;
    const waiting = isLimited ? this.#quotas.waiting : null;
    return queue === null && waiting === null ? null : { queue, waiting };
  }

  /** Why that statement wrote none of the tenant's. Whoever comes next is asked by figures that know of it. */
  async noRoom(tenant: string, { queue, waiting }: Room): Promise<GatewayError> {
    this.#queue.outdate();
    this.#standings.get(tenant)?.outdate();
    const isFull = queue !== null && (await reaching(this.#queue.get())) >= queue;
    return isFull || waiting === null ? queueFull() : limitExceeded(waitingFull(waiting));
  }

  async #standing(tenant: string): Promise<Standing> {
    const held =
      this.#standings.get(tenant) ??
      new Held(this.#holdMs, () => this.#store.standing(tenant, this.#quotas));
    this.#standings.set(tenant, held);
    return await held.get();
  }
}

function queueFull(): GatewayError {
  return new GatewayError(
    'queue_full',
    'As many tasks wait as the gateway takes; try again in a moment',
  );
}
