import { setTimeout as delay } from 'node:timers/promises';
import type { Tempo } from '../core/tempo.ts';

export interface RetryPolicy extends Pick<Tempo['store'], 'firstPauseMs' | 'longestPauseMs'> {
  /** Tries in all, the first one included. */
  readonly attempts: number;
}

/** Repeats what may succeed when it is repeated; throws the last failure, or the signal's reason. */
export async function retry<T>(
  policy: RetryPolicy,
  isTransient: (error: unknown) => boolean,
  signal: AbortSignal,
  operation: () => Promise<T>,
): Promise<T> {
  for (let failures = 1; ; failures += 1) {
    signal.throwIfAborted();
    try {
      return await operation();
    } catch (error) {
      signal.throwIfAborted();
      if (failures >= policy.attempts || !isTransient(error)) throw error;
    }
    await pause(backoffMs(policy, failures), signal);
  }
}

/**
 * Each pause is twice as long as the one before. Between half and all of it is waited, so that those who
 * failed together spread out.
 */
function backoffMs({ firstPauseMs, longestPauseMs }: RetryPolicy, failures: number): number {
  const stepMs = Math.min(longestPauseMs, firstPauseMs * 2 ** (failures - 1));
  return stepMs * (0.5 + Math.random() / 2);
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => signal.throwIfAborted());
}
