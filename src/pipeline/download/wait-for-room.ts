import { setTimeout as delay } from 'node:timers/promises';
import { doubledMs } from '../../core/backoff.ts';
import { GatewayError } from '../../core/errors.ts';
import type { Tempo } from '../../core/tempo.ts';
import type { Spool } from '../../media/spool.ts';

export interface Spooling {
  readonly spool: Pick<Spool, 'remove' | 'bytesOf' | 'roomOnDisk'>;
  /** The file that is written. */
  readonly owner: string;
  readonly name: string;
  readonly onWaiting: () => void;
  readonly tempo: Pick<Tempo['spool'], 'patienceMs' | 'firstPauseMs' | 'longestPauseMs'>;
}

/**
 * Repeats what writes a file into the spool when the disk turns out to be full: there is room again when
 * other tasks end, or somebody makes it. Nothing of the file is left meanwhile.
 *
 * @throws GatewayError `spool_full` when its patience is at an end; whatever `write` throws.
 */
export async function waitingForRoom<T>(
  { spool, owner, name, onWaiting, tempo }: Spooling,
  signal: AbortSignal,
  write: () => Promise<T>,
): Promise<T> {
  let patience: AbortSignal | null = null;
  for (let waits = 0; ; waits += 1) {
    try {
      return await write();
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof GatewayError && error.code === 'spool_full')) throw error;
      // A download that took long before the disk was full has not waited yet.
      patience ??= AbortSignal.any([signal, AbortSignal.timeout(tempo.patienceMs)]);
      // It will need more than what there was room for.
      const bytes = spool.bytesOf(owner, name);
      await spool.remove(owner, name);
      onWaiting();
      try {
        await delay(doubledMs(waits, tempo), undefined, { signal: patience });
        await spool.roomOnDisk(bytes, patience);
      } catch {
        signal.throwIfAborted();
        throw error;
      }
    }
  }
}
