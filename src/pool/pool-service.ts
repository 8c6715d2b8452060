import { type BackendAddress, parseBackendAddress } from '../comfyui/address.ts';
import { type BackendView, type Fitness, isInService, type WantedState } from '../core/backend.ts';
import { GatewayError, toGatewayError } from '../core/errors.ts';
import type { Workflow } from '../core/workflow.ts';
import { reaching, translateDatabaseError } from '../db/errors.ts';
import type { BackendRecord, BackendStore } from './backend-store.ts';
import type { Membership } from './membership.ts';
import type { Pool } from './pool.ts';

export interface PoolServiceParts {
  readonly store: BackendStore;
  readonly pool: Pool;
  readonly membership: Pick<Membership, 'records'>;
  readonly workflows: { all(): Iterable<Workflow> };
}

/** What operators do to the pool: look at it, add backends, drain, resume and remove them. */
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
   * The backends that could run the workflow, and why the others cannot; as of the last few seconds,
   * without asking the database. One that nobody has reached yet is in neither.
   */
  fitness(workflow: Workflow): Fitness {
    const { membership, pool } = this.#parts;
    const records = membership.records.filter(({ wanted }) => wanted !== 'removed');
    const unable = new Map<string, readonly string[]>();
    let able = 0;
    let inService = 0;
    for (const { label, report } of records) {
      const backend = pool.get(label);
      const reasons = backend?.whyNot(workflow) ?? report?.cannotRun[workflow.name] ?? [];
      if (reasons.length > 0) {
        unable.set(label, reasons);
      } else if (backend?.isKnown ?? report?.isKnown) {
        able += 1;
        if (isInService(backend?.state ?? report?.state)) inService += 1;
      }
    }
    return { able, inService, unable, total: records.length };
  }

  /** Whether a backend that is none of these takes tasks at present, and can run the workflow. */
  canRunElsewhere(workflow: Workflow, than: readonly string[]): boolean {
    const { membership, pool } = this.#parts;
    return membership.records.some(({ label, report }) => {
      if (than.includes(label)) return false;
      const backend = pool.get(label);
      if (backend) return backend.isInService && backend.canRun(workflow);
      return isInService(report?.state) && !report?.cannotRun[workflow.name];
    });
  }

  /**
   * Adds a backend for all gateways, from now on and after a restart.
   *
   * @throws GatewayError `invalid_request`, `backend_exists`, `unavailable`.
   */
  async add(url: string): Promise<BackendView> {
    const address = addressOf(url);
    const isNew = await this.#parts.store.add(address.label, address.url).catch((error) => {
      throw withoutValues(error);
    });
    if (!isNew) {
      throw new GatewayError('backend_exists', `${address.label} belongs to the pool already`);
    }
    return await this.#find(address.id);
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

  async #find(id: string): Promise<BackendView> {
    const found = (await this.list()).find((backend) => backend.id === id);
    if (!found) throw new GatewayError('backend_unknown', 'There is no such backend');
    return found;
  }

  #view({ label, url, wanted, owner, report }: BackendRecord): BackendView {
    const { pool, workflows } = this.#parts;
    return {
      id: parseBackendAddress(label).id,
      address: label,
      wanted,
      isFixed: url === null,
      gateway: owner,
      report: pool.get(label)?.report(workflows.all()) ?? report,
    };
  }
}

function addressOf(url: string): BackendAddress {
  try {
    return parseBackendAddress(url);
  } catch (error) {
    throw new GatewayError('invalid_request', `url: ${(error as Error).message}`, { field: 'url' });
  }
}

/** An error of the database quotes the statement's values, and this one's may be a password. */
function withoutValues(error: unknown): GatewayError {
  const { code, message } = toGatewayError(translateDatabaseError(error));
  return new GatewayError(code, message, { detail: 'The backend could not be stored' });
}
