import type { GatewayError } from '../core/errors.ts';
import { SeatElsewhereError, SeatLostError } from '../pool/waiting-room.ts';
import { ClaimLostError } from '../tasks/attempt-store.ts';
import { toStoreError } from '../tasks/errors.ts';

/** How an attempt comes to its end where nothing has failed. */
export type AttemptEnd = Finished | Joined | Undone;

/** The results were made, or taken from a twin without the use of any backend. */
interface Finished {
  readonly kind: 'made' | 'taken';
}

/** The tasks wait for the run of a twin; their own is gone. */
export interface Joined {
  readonly kind: 'joined';
}

/** The run is to be where it was before the attempt. */
export interface Undone {
  readonly kind: 'undone';
  readonly reason: string;
  /** Backends that others go before. */
  readonly avoid?: readonly string[];
}

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

export function undone(reason: string): Undone {
  return { kind: 'undone', reason };
}

/** What it came to by an error, or by an interruption before. */
export function outcomeOf(thrown: unknown, { aborted, reason }: AbortSignal): Outcome {
  if (aborted) return { kind: (reason as Interruption) === 'stopping' ? 'handed-over' : 'lost' };
  if (thrown instanceof ClaimLostError) return { kind: 'lost' };
  if (thrown instanceof SeatElsewhereError) {
    return { kind: 'undone', reason: thrown.message, avoid: thrown.worse };
  }
  if (thrown instanceof SeatLostError) return undone('No backend takes it at present');
  const failure = toStoreError(thrown);
  return failure.code === 'unavailable' ? { kind: 'undecided' } : { kind: 'failed', failure };
}
