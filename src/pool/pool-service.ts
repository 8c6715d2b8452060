import { parseBackendAddress, parseInputDir } from '../comfyui/address.ts';
import {
  type BackendView,
  type Fitness,
  isInService,
  type UnloadedWorkflows,
  type WantedState,
} from '../core/backend.ts';
import { GatewayError, toGatewayError } from '../core/errors.ts';
import type { Workflow } from '../core/workflow.ts';
import { reaching, translateDatabaseError } from '../db/errors.ts';
import type { BackendRecord, BackendStore } from './backend-store.ts';
import type { Membership } from './membership.ts';
import type { Pool } from './pool.ts';

export interface PoolServiceParts {
  readonly store: BackendStore;
  readonly pool: Pool;
  readonly membership: Pick<Membership, 'records' | 'inputDirOf'>;
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
   * without asking the database. One that nobody has reached yet is in neither. `but` are left out of
   * account.
   */
  fitness(workflow: Workflow, but: readonly string[] = []): Fitness {
    const { membership, pool } = this.#parts;
    const records = membership.records.filter(
      ({ label, wanted }) => wanted !== 'removed' && !but.includes(label),
    );
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
    return membership.records.some(({ label, owner, report }) => {
      if (than.includes(label)) return false;
      const backend = pool.get(label);
      if (backend) return backend.isInService && backend.canRun(workflow);
      // What was said of one that nobody drives any more is not true any more.
      return owner !== null && isInService(report?.state) && !report?.cannotRun[workflow.name];
    });
  }

  /** The backends that are known to take no input so large. */
  tooSmallFor(bytes: number): string[] {
    const { membership, pool } = this.#parts;
    return membership.records.flatMap(({ label, report }) => {
      const backend = pool.get(label);
      const most = backend ? backend.inputs.maxBytes : report?.maxInputBytes;
      return typeof most === 'number' && bytes > most ? [label] : [];
    });
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
    const { membership, pool } = this.#parts;
    const unloaded: string[] = [];
    const held: string[] = [];
    const unload = async ({ label, report }: BackendRecord): Promise<void> => {
      const backend = pool.get(label);
      const warm = backend ? backend.warm : (report?.warm ?? null);
      if (warm === null || !workflows.includes(warm)) return;
      const isUnloaded = (await backend?.unload(signal)) ?? false;
      (isUnloaded ? unloaded : held).push(warm);
    };
    await Promise.all(membership.records.map(unload));
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
