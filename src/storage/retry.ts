import { setTimeout as delay } from 'node:timers/promises';

export interface RetryPolicy {
  /** Tries in all, the first one included. */
  readonly attempts: number;
  /** The first wait; each further one is twice as long. */
  readonly baseDelayMs: number;
  readonly maxDelayMs: number;
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

/** Between half and all of the exponential step, so that those who failed together spread out. */
function backoffMs({ baseDelayMs, maxDelayMs }: RetryPolicy, failures: number): number {
  const stepMs = Math.min(maxDelayMs, baseDelayMs * 2 ** (failures - 1));
  return stepMs * (0.5 + Math.random() / 2);
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => signal.throwIfAborted());
}
