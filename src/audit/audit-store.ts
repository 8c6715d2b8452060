import type { OperatorAct, OperatorEvent } from '../core/operator-event.ts';
import type { Orm } from '../db/connect.ts';
import { desc, inArray, lt, sql } from '../db/drizzle.ts';
import { inRounds } from '../db/in-rounds.ts';
import { operatorEvents } from '../db/schema.ts';

const removedAtOnce = 1_000;

/** The record of what operators did. Acts that are writes to the database record themselves (`recordStep`). */
export class AuditStore {
  /** This gateway's id, new at every start. */
  readonly gateway: string;
  readonly #orm: Orm;

  constructor(orm: Orm, gateway: string) {
    this.#orm = orm;
    this.gateway = gateway;
  }

  /** Records an act that is done. */
  async add(act: OperatorAct): Promise<void> {
    await this.#orm.insert(operatorEvents).values({ ...act, gateway: this.gateway });
  }

  /** The newest records, before the one of that number where one is given, the newest first. */
  async newest(limit: number, before: number | null = null): Promise<OperatorEvent[]> {
    return await this.#orm
      .select()
      .from(operatorEvents)
      .where(before === null ? undefined : lt(operatorEvents.seq, before))
      .orderBy(desc(operatorEvents.seq))
      .limit(limit);
  }

  /** Removes records that are older; returns how many. */
  async removeOld(ms: number): Promise<number> {
    return await inRounds(removedAtOnce, async () => {
      const old = this.#orm
        .select({ seq: operatorEvents.seq })
        .from(operatorEvents)
        .where(sql`${operatorEvents.at} < now() - ${ms} * interval '1 ms'`)
        .limit(removedAtOnce);
      const rows = await this.#orm
        .delete(operatorEvents)
        .where(inArray(operatorEvents.seq, old))
        .returning({ seq: operatorEvents.seq });
      return rows.length;
    });
  }
}
