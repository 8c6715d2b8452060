import type { Readable } from 'node:stream';
import type { Audit } from '../audit/audit.ts';
import { taskNotFound } from '../core/errors.ts';
import type { ResultKind } from '../core/result-format.ts';
import type { Tempo } from '../core/tempo.ts';
import { reaching } from '../db/errors.ts';
import type { ByteRange, ObjectStat, ObjectStore } from '../storage/object-store.ts';
import type { ResultLog } from '../telemetry/result-log.ts';
import { removeExpired } from './result-removal.ts';
import type { ResultStore, ResultUsage } from './result-store.ts';
import type { TaskView } from './task-service.ts';
import type { DialectOwner, TaskOwner } from './task-store.ts';

export type { ResultUsage } from './result-store.ts';

export interface ResultServiceParts {
  readonly results: ResultStore;
  readonly store: Pick<ObjectStore, 'open' | 'stat' | 'delete'>;
  readonly log: ResultLog;
  readonly audit: Pick<Audit, 'recorded' | 'gateway'>;
  readonly tempo: Pick<Tempo['results'], 'deleteDeadlineMs'>;
}

/** A stored result, or a part of it. */
export interface OpenResult {
  /** Of the whole, bytes. */
  readonly size: number;
  readonly contentType: string;
  readonly modifiedAt: Date;
  readonly etag: string;
  readonly body: Readable;
}

/** Tasks, by what became of their results. */
export interface DiscardCounts {
  readonly discarded: number;
  readonly inProgress: number;
  readonly uncollected: number;
}

const removedAtOnce = 100;

/** The stored results of completed tasks: what dialects give out of them, and when they may go. */
export class ResultService {
  readonly #parts: ResultServiceParts;

  constructor(parts: ResultServiceParts) {
    this.#parts = parts;
  }

  /**
   * Size, type and validator of the task's main result; `null` where the store has none: the task has
   * not completed, the result was removed, or it went to an address of the client's.
   */
  async stat(task: TaskView, signal: AbortSignal): Promise<ObjectStat | null> {
    const key = mainKey(task);
    return key === null ? null : await this.#parts.store.stat(key, signal);
  }

  /** The bytes of the task's main result; `null` as for `stat`. */
  async open(
    task: TaskView,
    range: ByteRange | null,
    signal: AbortSignal,
  ): Promise<OpenResult | null> {
    const key = mainKey(task);
    return key === null ? null : await this.#parts.store.open(key, range, signal);
  }

  /**
   * The client has the results: they may go after so many milliseconds, 0 for at once. Nothing happens
   * to a task that has none.
   *
   * @throws GatewayError `task_not_found`.
   */
  async collected(taskId: string, owner: TaskOwner, keepMs: number): Promise<void> {
    const { results } = this.#parts;
    if (!(await reaching(results.collect(taskId, owner, keepMs)))) throw taskNotFound();
    if (keepMs <= 0) await this.#remove([taskId]);
  }

  /**
   * The results of a completed task stay at least so many milliseconds from now, however early they
   * would go: for clients that say again and again that they are still there.
   *
   * @throws GatewayError `task_not_found`.
   */
  async keep(taskId: string, owner: TaskOwner, keepMs: number): Promise<void> {
    if (!(await reaching(this.#parts.results.keep(taskId, owner, keepMs)))) throw taskNotFound();
  }

  /**
   * Removes the task's results; its record stays. What the store fails to remove now goes with a later
   * sweep.
   *
   * @throws GatewayError `task_not_found`.
   */
  async discard(taskId: string, owner: TaskOwner): Promise<void> {
    if (!(await reaching(this.#parts.results.expire(taskId, owner)))) throw taskNotFound();
    await this.#remove([taskId]);
  }

  /**
   * The client is done with a task that has ended, however it did: `collectedAt` says so from now on,
   * and results that are stored are removed. For dialects that show such a task no more.
   *
   * @throws GatewayError `task_not_found`, also for a task that has not ended.
   */
  async dismiss(taskId: string, owner: TaskOwner): Promise<void> {
    if (!(await reaching(this.#parts.results.dismiss(taskId, owner)))) throw taskNotFound();
    await this.#remove([taskId]);
  }

  /** What the owner's results take in the store; nothing for kinds that it has none of. */
  async usage(owner: TaskOwner): Promise<readonly ResultUsage[]> {
    return await reaching(this.#parts.results.usage(owner));
  }

  /** Removes the collected results of the owner's tasks of these kinds, on record, and leaves the others. */
  async discardCollected(
    actor: string,
    owner: DialectOwner,
    kinds: readonly ResultKind[],
  ): Promise<DiscardCounts> {
    const { results, audit } = this.#parts;
    const { ids, act } = await reaching(
      results.expireCollected(owner, kinds, { actor, gateway: audit.gateway }),
    );
    if (act) audit.recorded(act);
    for (let from = 0; from < ids.length; from += removedAtOnce) {
      await this.#remove(ids.slice(from, from + removedAtOnce));
    }
    const left = await reaching(results.countUncollected(owner, kinds));
    return { discarded: ids.length, ...left };
  }

  /** Removes what has expired, or takes too much room. What fails is left to the next sweep. */
  async sweep(signal: AbortSignal): Promise<void> {
    const { results, log } = this.#parts;
    try {
      await results.expireOld();
      await results.expireBeyondBudget();
      let page = await results.due(removedAtOnce, null);
      while (page.length > 0 && !signal.aborted) {
        const ids = page.map(({ id }) => id);
        // A store that removes none of them is away.
        if ((await removeExpired(this.#parts, ids)) === 0) return;
        page = await results.due(removedAtOnce, page.at(-1) ?? null);
      }
    } catch (error) {
      log.sweepFailed(error);
    }
  }

  async #remove(taskIds: readonly string[]): Promise<void> {
    await reaching(removeExpired(this.#parts, taskIds));
  }
}

/** Where the store keeps the main result; `null` where it has none. */
function mainKey({ outputs, removedAt }: TaskView): string | null {
  const [main] = outputs;
  return main && !main.deliveredTo && removedAt === null ? main.key : null;
}
