import { reaching } from '../db/errors.ts';
import type { StoredTotal, UsageQuery, UsageRow, UsageStore } from './usage-store.ts';

export interface UsageReport {
  readonly rows: readonly UsageRow[];
  /** At present, whatever days are asked for. */
  readonly stored: readonly StoredTotal[];
}

/** Tells what tenants had, and have. */
export class UsageService {
  readonly #store: Pick<UsageStore, 'rows' | 'stored'>;

  constructor(store: Pick<UsageStore, 'rows' | 'stored'>) {
    this.#store = store;
  }

  /** @throws GatewayError `unavailable`. */
  async report(query: UsageQuery): Promise<UsageReport> {
    const [rows, stored] = await reaching(
      Promise.all([this.#store.rows(query), this.#store.stored(query.tenant)]),
    );
    return { rows, stored };
  }
}
