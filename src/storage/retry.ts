import { backoffMs, type Pauses } from '../core/backoff.ts';
import { pause } from '../timing/pause.ts';

export interface RetryPolicy extends Pauses {
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
    await pause(backoffMs(failures - 1, policy, Math.random()), signal);
  }
}
