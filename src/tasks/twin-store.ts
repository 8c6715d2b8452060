import type { Claim } from '../core/attempt.ts';
import type { TaskOutput } from '../core/task.ts';
import type { Warning } from '../core/warning.ts';
import { and, eq, isNotNull, isNull, sql } from '../db/drizzle.ts';
import { codeOf } from '../db/errors.ts';
import { runs, tasks } from '../db/schema.ts';
import { type AttemptStore, ClaimLostError } from './attempt-store.ts';
import type { Door } from './door.ts';
import { joinRun } from './shared-runs.ts';

/** A task whose results another may take. */
export interface Twin {
  readonly taskId: string;
  readonly outputs: readonly TaskOutput[];
  readonly warnings: readonly Warning[];
}

/** What a run is among those that make the same. */
export type TwinRole =
  | { readonly kind: 'leads' }
  /** Its tasks wait for another run, and it is gone. */
  | { readonly kind: 'joined' }
  | { readonly kind: 'takes'; readonly twin: Twin };

const uniqueViolation = '23505';

/**
 * Runs with the same fingerprint make the same. Of those that are open one leads, by a unique index; the
 * tasks of the others join it. The results of a completed one may be taken, as long as they are stored.
 */
export class TwinStore {
  readonly #door: Door;
  readonly #attempts: Pick<AttemptStore, 'fence'>;

  constructor(door: Door, attempts: Pick<AttemptStore, 'fence'>) {
    this.#door = door;
    this.#attempts = attempts;
  }

  /**
   * Finds out what the run is to its twins.
   *
   * @throws ClaimLostError
   */
  async seek(claim: Claim, fingerprint: string): Promise<TwinRole> {
    for (;;) {
      const fence = this.#attempts.fence(claim);
      const joined = await joinRun(this.#door, claim.run.id, fence, fingerprint);
      if (joined.length > 0) return { kind: 'joined' };
      const twin = await this.#made(fingerprint);
      if (twin) return { kind: 'takes', twin };
      if (await this.#lead(claim, fingerprint)) return { kind: 'leads' };
      // Another one has begun to lead in between.
    }
  }

  /** What runs with this fingerprint had stored is gone, by another hand than ours. */
  async forget(fingerprint: string): Promise<void> {
    await this.#door.orm
      .update(runs)
      .set({ fingerprint: null })
      .where(and(eq(runs.fingerprint, fingerprint), eq(runs.state, 'completed')));
  }

  /** A task of a completed run whose results are stored. */
  async #made(fingerprint: string): Promise<Twin | null> {
    const isKept = sql`(${tasks.keepUntil} is null or ${tasks.keepUntil} > now())`;
    const [found] = await this.#door.orm
      .select({ taskId: tasks.id, outputs: tasks.outputs, warnings: runs.warnings })
      .from(runs)
      .innerJoin(tasks, sql`${tasks.id} = any(${runs.taskIds})`)
      .where(
        and(
          eq(runs.fingerprint, fingerprint),
          eq(runs.state, 'completed'),
          isNotNull(tasks.outputs),
          isNull(tasks.removedAt),
          isKept,
        ),
      )
      .limit(1);
    if (!found) return null;
    return { ...found, outputs: found.outputs ?? [], warnings: found.warnings ?? [] };
  }

  /** `false`: another run leads. */
  async #lead(claim: Claim, fingerprint: string): Promise<boolean> {
    try {
      const leading = await this.#door.orm
        .update(runs)
        .set({ fingerprint })
        .where(this.#attempts.fence(claim))
        .returning({ id: runs.id });
      if (leading.length === 0) throw new ClaimLostError(claim);
      return true;
    } catch (error) {
      if (codeOf(error) === uniqueViolation) return false;
      throw error;
    }
  }
}
