import type { ErrorCode, GatewayError } from './errors.ts';

/** What becomes of a task whose attempt failed. */
export type NextStep =
  | { readonly kind: 'fail' }
  | { readonly kind: 'retry'; readonly afterMs: number };

export interface RetryPolicy {
  readonly maxAttempts: number;
  readonly baseDelayMs: number;
  readonly maxDelayMs: number;
}

export const defaultRetryPolicy: RetryPolicy = {
  maxAttempts: 3,
  baseDelayMs: 1_000,
  maxDelayMs: 30_000,
};

/**
 * How many attempts an error deserves in all. What the client or the source did wrong stays wrong;
 * an error inside the graph may be the fault of one backend, so it is tried once more; a lost
 * backend says nothing about the task, which then may use every attempt that the policy gives.
 */
const attemptsFor: Partial<Record<ErrorCode, number>> = {
  execution_failed: 2,
  out_of_memory: 2,
  prompt_rejected: 2,
  output_missing: 2,
  internal: 2,
  backend_upload_refused: 1,
  storage_failed: 1,
  workflow_invalid: 1,
};

/**
 * Decides from the failure, the attempt's number and a random number in [0, 1) alone, so that a
 * table can test it.
 */
export function nextStep(
  failure: GatewayError,
  attempt: number,
  random: number,
  policy: RetryPolicy = defaultRetryPolicy,
): NextStep {
  if (failure.fault === 'client' || failure.fault === 'source') return { kind: 'fail' };
  const allowed = Math.min(attemptsFor[failure.code] ?? policy.maxAttempts, policy.maxAttempts);
  if (attempt >= allowed) return { kind: 'fail' };
  const ceilingMs = Math.min(policy.baseDelayMs * 2 ** (attempt - 1), policy.maxDelayMs);
  // Half of it fixed, half of it jitter: waiting tasks do not come back all at once.
  return { kind: 'retry', afterMs: Math.round(ceilingMs * (0.5 + random / 2)) };
}
