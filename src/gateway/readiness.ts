import { GatewayError, toGatewayError } from '../core/errors.ts';
import { type Check, failedFor, passed, type Readiness } from '../core/readiness.ts';
import type { Tempo } from '../core/tempo.ts';
import type { Database } from '../db/connect.ts';
import { ownEdition } from '../db/edition.ts';
import { reaching } from '../db/errors.ts';
import type { WholePool } from '../pool/whole-pool.ts';
import { BucketError } from '../storage/bucket-error.ts';
import type { ObjectStore } from '../storage/object-store.ts';

export interface ReadinessParts {
  readonly database: Pick<Database, 'edition'>;
  readonly store: Pick<ObjectStore, 'stat' | 'check'>;
  readonly pool: Pick<WholePool, 'isInService'>;
  readonly stopping: AbortSignal;
  readonly tempo: Pick<Tempo['http'], 'storeCheckHoldsMs' | 'storeCheckDeadlineMs'>;
}

/** No result has that name. */
const nothing = 'ready';

/**
 * What load balancers and people ask for. The database decides, with the end of the gateway: without it nothing can be
 * answered. All gateways have the same store and the same servers, so that another one would do no better, and tasks
 * wait for either; those are told.
 */
export class ReadinessProbe {
  readonly #parts: ReadinessParts;
  #store: Promise<Check> | null = null;
  #lookedAt = 0;

  constructor(parts: ReadinessParts) {
    this.#parts = parts;
  }

  async look(): Promise<Readiness> {
    const { stopping, pool } = this.#parts;
    const [lost, store] = await Promise.all([this.#lookAtDatabase(), this.#lookAtStore()]);
    const stops = stopping.aborted
      ? new GatewayError('unavailable', 'The gateway is asked to stop')
      : null;
    return {
      refusal: stops ?? lost,
      checks: {
        database: lost ? failedFor(lost.message) : passed,
        store,
        servers: pool.isInService ? passed : failedFor('None of the ComfyUI servers is in service'),
      },
    };
  }

  async #lookAtDatabase(): Promise<GatewayError | null> {
    try {
      const edition = await reaching(this.#parts.database.edition());
      if (edition <= ownEdition) return null;
      return new GatewayError('unavailable', 'A newer gateway has changed the database');
    } catch (error) {
      return toGatewayError(error);
    }
  }

  /** Probes come every few seconds, from several sides; a bucket has every request paid for. */
  #lookAtStore(): Promise<Check> {
    const { storeCheckHoldsMs } = this.#parts.tempo;
    const now = performance.now();
    if (this.#store === null || now - this.#lookedAt >= storeCheckHoldsMs) {
      this.#lookedAt = now;
      this.#store = this.#askStore();
    }
    return this.#store;
  }

  async #askStore(): Promise<Check> {
    const { store, tempo } = this.#parts;
    const deadline = AbortSignal.timeout(tempo.storeCheckDeadlineMs);
    try {
      await (store.check?.() ?? store.stat(nothing, deadline));
      return passed;
    } catch (error) {
      // Who may not list a bucket is not told either that it lacks an object: it answers, which is what is asked.
      if (error instanceof BucketError && error.isNotForUs) return passed;
      if (deadline.aborted) return failedFor('The object storage did not answer in time');
      return failedFor(toGatewayError(error).message);
    }
  }
}
