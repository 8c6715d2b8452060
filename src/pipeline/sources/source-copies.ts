import { randomBytes } from 'node:crypto';
import type PQueue from 'p-queue';
import { contentTypeOf } from '../../core/media.ts';
import type { StoredSource } from '../../core/source-note.ts';
import type { Tempo } from '../../core/tempo.ts';
import type { Notices } from '../../db/notices.ts';
import type { ObjectStore } from '../../storage/object-store.ts';
import { fileSource } from '../../tasks/file-source.ts';
import type { HeldSourceStore, Reading, SourceKey } from '../../tasks/held-source-store.ts';
import type { SourceLog } from '../../telemetry/source-log.ts';
import { Alarm } from '../../timing/alarm.ts';
import type { AcquiredSource } from '../download/acquire-source.ts';

export interface SourceCopiesParts {
  readonly held: HeldSourceStore;
  readonly objects: Pick<ObjectStore, 'put' | 'delete' | 'abandon'>;
  readonly notices: Pick<Notices, 'hasOthers' | 'tellOthers' | 'on' | 'off'>;
  /** A bound on how many are put into the store at once. */
  readonly puts: PQueue;
  readonly log: SourceLog;
  readonly tempo: Tempo['sources'];
}

/** Where a source is that is not here. */
export interface Whereabouts {
  /** What the store has of it, or may have of a gateway that died while it put it there. */
  readonly stored: StoredSource | null;
  /** Whether a gateway that is no more had it on its disk. */
  readonly isLeft: boolean;
}

export const nowhere: Whereabouts = { stored: null, isLeft: false };

/**
 * How gateways hand sources to each other, which share nothing but the database and the object store: a copy
 * lies in the store, under a key that nobody can guess and nobody is told, until the run has ended.
 */
export class SourceCopies {
  readonly #parts: SourceCopiesParts;

  constructor(parts: SourceCopiesParts) {
    this.#parts = parts;
  }

  /** Whether others may need what this gateway has. */
  get areWanted(): boolean {
    return this.#parts.notices.hasOthers;
  }

  /**
   * Where the source is. What another gateway has, or fetches at this moment, is waited for until it lies in
   * the store, but not for ever. `mayBeUntold`: a gateway may have it that was alone, and told nobody.
   *
   * @throws the signal's reason.
   */
  async locate(key: SourceKey, mayBeUntold: boolean, signal: AbortSignal): Promise<Whereabouts> {
    const { held, notices, tempo } = this.#parts;
    const answered = new Alarm();
    const hear = (runId: string) => {
      if (runId === key.runId) answered.ring();
    };
    notices.on('held', hear);
    try {
      const begunAt = performance.now();
      for (;;) {
        const found = await held.find(key);
        signal.throwIfAborted();
        const { note = null, objectKey = null, isStored = false } = found ?? {};
        if (note && (isStored || !found?.isWithOther)) {
          const stored = objectKey === null ? null : { key: objectKey, note };
          return { stored, isLeft: !found?.isWithOther };
        }
        const isTold = found?.isWithOther ?? false;
        // Without a record, or with that of one who is no more, somebody may still have it.
        const mayBeWithOther = isTold || (mayBeUntold && notices.hasOthers);
        const patienceMs = isTold ? tempo.otherPatienceMs : tempo.answerPatienceMs;
        const leftMs = begunAt + patienceMs - performance.now();
        if (!mayBeWithOther || leftMs <= 0) return nowhere;
        // A notice may get lost, and whoever has the source looks at no table.
        notices.tellOthers('wanted', key.runId);
        await answered.wait(Math.min(leftMs, tempo.lookEveryMs), signal);
      }
    } finally {
      notices.off('held', hear);
    }
  }

  /** This gateway reads the source at this moment: others wait for it. What fails is logged. */
  async announce(key: SourceKey): Promise<void> {
    const { held, log } = this.#parts;
    await held.announce(key).catch((error) => log.publishFailed(key.runId, error));
  }

  /** Puts the source into the store, unless it is there, and tells the others. What fails is logged. */
  async publish(key: SourceKey, source: AcquiredSource, signal: AbortSignal): Promise<void> {
    const { held, notices, puts, log } = this.#parts;
    const { bytes, sha256, info } = source;
    const fresh = `sources/${randomBytes(16).toString('hex')}`;
    try {
      // Before its turn to be put there comes: from now on others wait for it.
      const objectKey = await held.storing(key, { bytes, sha256, info }, fresh);
      if (objectKey !== null) {
        await puts.add(() => this.#put(key, objectKey, source, signal), { signal });
      }
      notices.tellOthers('held', key.runId);
    } catch (error) {
      if (!signal.aborted) log.publishFailed(key.runId, error);
    }
  }

  async #put(
    key: SourceKey,
    objectKey: string,
    source: AcquiredSource,
    signal: AbortSignal,
  ): Promise<void> {
    const { held, objects } = this.#parts;
    const contentType = contentTypeOf(source.info.format);
    await objects.put(objectKey, fileSource(source), { contentType, signal });
    // Its run may have ended meanwhile.
    if (!(await held.stored(key))) await this.#removeObject(objectKey);
  }

  /** Removes the copies of a run that has ended. What fails is swept later. */
  async remove(runId: string): Promise<void> {
    await this.#removeEnded(runId);
  }

  /** Removes the copies of runs that have ended, whoever made them. */
  async sweep(): Promise<void> {
    await this.#removeEnded(null);
    await this.#parts.held.leaveAbandoned();
  }

  /** How far it was read before, so that its owner is not to blame for a link that is good for once. */
  async readingOf(key: SourceKey, mayBeBegun: boolean): Promise<Reading> {
    return await this.#parts.held.readingOf(key, mayBeBegun);
  }

  /** The object first: while there is a record of it, another sweep will find it. */
  async #removeEnded(runId: string | null): Promise<void> {
    const { held, log } = this.#parts;
    try {
      for (const { objectKey, ...key } of await held.ended(runId)) {
        if (objectKey !== null) await this.#removeObject(objectKey);
        await held.forget(key);
      }
    } catch (error) {
      log.sweepFailed(error);
    }
  }

  async #removeObject(key: string): Promise<void> {
    const { objects, tempo } = this.#parts;
    const deadline = AbortSignal.timeout(tempo.removeDeadlineMs);
    await Promise.all([objects.delete(key, deadline), objects.abandon(key, deadline)]);
  }
}
