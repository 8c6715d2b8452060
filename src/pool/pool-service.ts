import type { Audit } from '../audit/audit.ts';
import { parseBackendAddress, parseInputDir } from '../comfyui/address.ts';
import type { BackendView, UnloadedWorkflows, WantedState } from '../core/backend.ts';
import { GatewayError, toGatewayError } from '../core/errors.ts';
import type { Workflow } from '../core/workflow.ts';
import { reaching, translateDatabaseError } from '../db/errors.ts';
import type { BackendRecord, BackendStore } from './backend-store.ts';
import type { Membership } from './membership.ts';
import type { Pool } from './pool.ts';
import type { WarmBackend, WholePool } from './whole-pool.ts';

export interface PoolServiceParts {
  readonly store: BackendStore;
  readonly pool: Pick<Pool, 'get'>;
  readonly wholePool: Pick<WholePool, 'warmFor'>;
  readonly membership: Pick<Membership, 'inputDirOf'>;
  readonly workflows: { all(): Iterable<Workflow> };
  readonly audit: Pick<Audit, 'recorded' | 'record'>;
}

/**
 * What operators do to the pool: look at it, add backends, drain, resume, unload and remove them. `actor`: who does.
 */
export class PoolService {
  readonly #parts: PoolServiceParts;

  constructor(parts: PoolServiceParts) {
    this.#parts = parts;
  }

  /** All backends of all gateways; those of this one as they are at this moment. */
  async list(): Promise<BackendView[]> {
    const records = await reaching(this.#parts.store.list());
    return records.map((record) => this.#view(record));
  }

  /**
   * Adds a backend for all gateways, from now on and after a restart. `inputDir`: its `input` folder as
   * gateways see it, where they share one.
   *
   * @throws GatewayError `invalid_request`, `backend_exists`, `unavailable`.
   */
  async add(actor: string, url: string, inputDir: string | null): Promise<BackendView> {
    const address = read('url', () => parseBackendAddress(url));
    const { id, label } = address;
    const folder = inputDir === null ? null : read('input_dir', () => parseInputDir(inputDir));
    const act = await this.#parts.store.add(actor, label, address.url, folder).catch((error) => {
      throw withoutValues(error);
    });
    if (!act) throw new GatewayError('backend_exists', `${label} belongs to the pool already`);
    this.#parts.audit.recorded(act);
    return await this.#find(id);
  }

  /** @throws GatewayError `backend_unknown`, `unavailable`. */
  async want(
    actor: string,
    id: string,
    wanted: Exclude<WantedState, 'removed'>,
  ): Promise<BackendView> {
    const { address } = await this.#find(id);
    await this.#want(actor, address, wanted);
    return await this.#find(id);
  }

  /**
   * Takes a backend out of the pool, as soon as it has ended what it works on.
   *
   * @throws GatewayError `backend_unknown`; `backend_fixed` for one from the settings; `unavailable`.
   */
  async remove(actor: string, id: string): Promise<void> {
    const { address, isFixed } = await this.#find(id);
    if (isFixed) {
      throw new GatewayError(
        'backend_fixed',
        'The backend stands in COMFYUI_BACKENDS: take it out there, or drain it',
      );
    }
    await this.#want(actor, address, 'removed');
  }

  /**
   * Lets backends let go of the models of these workflows: those that this gateway drives and that have
   * nothing to do.
   *
   * @throws the signal's reason.
   */
  async unload(
    actor: string,
    workflows: readonly string[],
    signal: AbortSignal,
  ): Promise<UnloadedWorkflows> {
    const { wholePool, audit } = this.#parts;
    const unloaded: { workflow: string; backend: string }[] = [];
    const held: string[] = [];
    const unload = async ({ workflow, backend }: WarmBackend): Promise<void> => {
      const isUnloaded = backend !== null && (await backend.unload(signal));
      if (isUnloaded) unloaded.push({ workflow, backend: backend.label });
      else held.push(workflow);
    };
    const outcomes = await Promise.allSettled(wholePool.warmFor(workflows).map(unload));
    // What went before the caller left is gone as well.
    if (unloaded.length > 0) {
      await audit.record({ actor, kind: 'models_unloaded', subject: '', body: { unloaded } });
    }
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
    return { unloaded: unloaded.map(({ workflow }) => workflow), held };
  }

  async #want(actor: string, label: string, wanted: WantedState): Promise<void> {
    const act = await reaching(this.#parts.store.want(actor, label, wanted));
    if (act) this.#parts.audit.recorded(act);
  }

  async #find(id: string): Promise<BackendView> {
    const found = (await this.list()).find((backend) => backend.id === id);
    if (!found) throw new GatewayError('backend_unknown', 'There is no such backend');
    return found;
  }

  #view(record: BackendRecord): BackendView {
    const { pool, membership, workflows } = this.#parts;
    const { label, url, wanted, owner, report } = record;
    return {
      id: parseBackendAddress(label).id,
      address: label,
      wanted,
      inputDir: membership.inputDirOf(record),
      isFixed: url === null,
      gateway: owner,
      report: pool.get(label)?.report(workflows.all()) ?? report,
    };
  }
}

/** What the parser makes of a field of a request. */
function read<T>(field: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new GatewayError('invalid_request', `${field}: ${(error as Error).message}`, { field });
  }
}

/** An error of the database quotes the statement's values, and this one's may be a password. */
function withoutValues(error: unknown): GatewayError {
  const { code, message } = toGatewayError(translateDatabaseError(error));
  return new GatewayError(code, message, { detail: 'The backend could not be stored' });
}
