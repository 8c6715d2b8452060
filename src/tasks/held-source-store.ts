import type { Orm } from '../db/connect.ts';
import { and, inArray } from '../db/drizzle.ts';
import { runs } from '../db/schema.ts';

/** Which sources gateways hold for which runs. */
export class HeldSourceStore {
  readonly #orm: Orm;

  constructor(orm: Orm) {
    this.#orm = orm;
  }

  /** Those of these runs that have not ended. */
  async openRuns(runIds: readonly string[]): Promise<ReadonlySet<string>> {
    if (runIds.length === 0) return new Set();
    const open = await this.#orm
      .select({ id: runs.id })
      .from(runs)
      .where(and(inArray(runs.id, [...runIds]), inArray(runs.state, ['pending', 'processing'])));
    return new Set(open.map(({ id }) => id));
  }
}
