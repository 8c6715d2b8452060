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
}

/** What operators do to the pool: look at it, add backends, drain, resume, unload and remove them. */
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
  async add(url: string, inputDir: string | null): Promise<BackendView> {
    const address = read('url', () => parseBackendAddress(url));
    const { id, label } = address;
    const folder = inputDir === null ? null : read('input_dir', () => parseInputDir(inputDir));
    const isNew = await this.#parts.store.add(label, address.url, folder).catch((error) => {
      throw withoutValues(error);
    });
    if (!isNew) throw new GatewayError('backend_exists', `${label} belongs to the pool already`);
    return await this.#find(id);
  }

  /** @throws GatewayError `backend_unknown`, `unavailable`. */
  async want(id: string, wanted: Exclude<WantedState, 'removed'>): Promise<BackendView> {
    const { address } = await this.#find(id);
    await reaching(this.#parts.store.want(address, wanted));
    return await this.#find(id);
  }

  /**
   * Takes a backend out of the pool, as soon as it has ended what it works on.
   *
   * @throws GatewayError `backend_unknown`; `backend_fixed` for one from the settings; `unavailable`.
   */
  async remove(id: string): Promise<void> {
    const { address, isFixed } = await this.#find(id);
    if (isFixed) {
      throw new GatewayError(
        'backend_fixed',
        'The backend stands in COMFYUI_BACKENDS: take it out there, or drain it',
      );
    }
    await reaching(this.#parts.store.want(address, 'removed'));
  }

  /**
   * Lets backends let go of the models of these workflows: those that this gateway drives and that have
   * nothing to do.
   *
   * @throws the signal's reason.
   */
  async unload(workflows: readonly string[], signal: AbortSignal): Promise<UnloadedWorkflows> {
    const unloaded: string[] = [];
    const held: string[] = [];
    const unload = async ({ workflow, backend }: WarmBackend): Promise<void> => {
      const isUnloaded = (await backend?.unload(signal)) ?? false;
      (isUnloaded ? unloaded : held).push(workflow);
    };
    await Promise.all(this.#parts.wholePool.warmFor(workflows).map(unload));
    return { unloaded, held };
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
