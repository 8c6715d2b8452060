import type { GatewayError } from '../core/errors.ts';
import { ClaimLostError } from '../tasks/attempt-store.ts';
import { toStoreError } from '../tasks/errors.ts';
import type { AttemptEnd } from './attempt.ts';

/** Why an attempt is broken off: the gateway stops, or the run is no longer ours. */
export type Interruption = 'stopping' | 'lost';

/** What an attempt came to. */
export type Outcome =
  | AttemptEnd
  /** A prompt that runs is left to run, and adopted by the next gateway. */
  | { readonly kind: 'handed-over' }
  | { readonly kind: 'lost' }
  /** The database is away, and nothing can be decided. */
  | { readonly kind: 'undecided' }
  | { readonly kind: 'failed'; readonly failure: GatewayError };

/** What it came to by an error, or by an interruption before. */
export function outcomeOf(thrown: unknown, { aborted, reason }: AbortSignal): Outcome {
  if (aborted) return { kind: (reason as Interruption) === 'stopping' ? 'handed-over' : 'lost' };
  if (thrown instanceof ClaimLostError) return { kind: 'lost' };
  const failure = toStoreError(thrown);
  return failure.code === 'unavailable' ? { kind: 'undecided' } : { kind: 'failed', failure };
}
