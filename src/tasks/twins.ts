import type { TaskOutput } from '../core/task.ts';
import type { Orm } from '../db/connect.ts';
import {
  and,
  asc,
  eq,
  inArray,
  isNotNull,
  isNull,
  ne,
  type SQL,
  sql,
  unionAll,
} from '../db/drizzle.ts';
import { notify } from '../db/notices.ts';
import { tasks } from '../db/schema.ts';

/**
 * Twins are tasks with the same fingerprint, which make the same. One of them leads and is run; the
 * others follow it in the queue, and have its results when it has ended well. The fingerprint in a
 * task's row says what it is to its twins:
 *
 * | state | with a fingerprint |
 * |---|---|
 * | `processing` | it leads |
 * | `pending`, `run_after` set | it follows, and waits for its leader |
 * | `pending` | it followed, and is to look again |
 * | `completed` | its results may be taken, as long as they are stored |
 *
 * Whoever leaves one of these states for another keeps that true. Who leads is decided under a lock of
 * the fingerprint, so that two cannot both find that nobody does.
 */

/** A task whose results another may take. */
export interface Twin {
  readonly taskId: string;
  readonly outputs: readonly TaskOutput[];
}

/** What a task is to its twins. */
export type Standing =
  | { readonly kind: 'leads' }
  /** It has been given back into the queue. */
  | { readonly kind: 'follows' }
  | { readonly kind: 'takes'; readonly twin: Twin };

/** Nobody else decides about twins of this fingerprint until the transaction has ended. */
export async function lockTwins(tx: Orm, fingerprint: string): Promise<void> {
  await tx.execute(sql`select pg_advisory_xact_lock(hashtextextended(${fingerprint}, 0))`);
}

/** A twin whose results are stored, or else the one that leads. */
export async function findTwin(
  tx: Orm,
  fingerprint: string,
  butNot: string,
): Promise<Twin | 'leader' | null> {
  const isTwin = and(
    eq(tasks.fingerprint, fingerprint),
    isNull(tasks.removedAt),
    ne(tasks.id, butNot),
  );
  const columns = { id: tasks.id, state: tasks.state, outputs: tasks.outputs };
  const isKept = sql`(${tasks.keepUntil} is null or ${tasks.keepUntil} > now())`;
  const one = (condition: SQL | undefined) =>
    tx.select(columns).from(tasks).where(and(isTwin, condition)).limit(1);
  const [found] = await unionAll(
    one(and(eq(tasks.state, 'completed'), isKept)),
    one(eq(tasks.state, 'processing')),
  ).orderBy(asc(tasks.state));
  if (!found) return null;
  return found.state === 'completed'
    ? { taskId: found.id, outputs: found.outputs ?? [] }
    : 'leader';
}

/**
 * Wakes those that follow a leader which has ended, `most` of them (`null`: all), the first in the
 * queue first. The end is committed by then, so that one which begins to follow in the same moment
 * either sees it or is woken. In one transaction with the end, the lock would be waited for with a row
 * locked, for which its holder may be waiting (docs/decisions/019-twins-have-one-run.md).
 */
export async function wakeFollowers(
  orm: Orm,
  fingerprint: string,
  most: number | null,
): Promise<void> {
  await orm.transaction(async (tx) => {
    await lockTwins(tx, fingerprint);
    const first = tx
      .select({ id: tasks.id })
      .from(tasks)
      .where(
        and(
          eq(tasks.fingerprint, fingerprint),
          isNull(tasks.removedAt),
          eq(tasks.state, 'pending'),
          isNotNull(tasks.runAfter),
        ),
      )
      .orderBy(asc(tasks.rank), asc(tasks.seq))
      .for('update', { skipLocked: true });
    const sleeping = await (most === null ? first : first.limit(most));
    if (sleeping.length === 0) return;
    const ids = sleeping.map(({ id }) => id);
    await tx
      .update(tasks)
      .set({ runAfter: null, updatedAt: sql`now()` })
      .where(inArray(tasks.id, ids));
    await notify(tx, 'ready', ids[0] ?? '');
  });
}

/** The results of completed tasks with this fingerprint are not taken any more. */
export async function forgetTwins(orm: Orm, fingerprint: string): Promise<void> {
  await orm
    .update(tasks)
    .set({ fingerprint: null })
    .where(
      and(
        eq(tasks.fingerprint, fingerprint),
        isNull(tasks.removedAt),
        eq(tasks.state, 'completed'),
      ),
    );
}
