import { type ErrorCode, GatewayError } from '../../core/errors.ts';
import type { Tempo } from '../../core/tempo.ts';

/** Why a transfer failed, as far as another try may mend it. */
type Cause = 'backend' | 'spool' | 'store' | 'room';

/** In the order in which a transfer meets them. */
const causes: readonly Cause[] = ['backend', 'spool', 'store', 'room'];

/**
 * A store that is away comes back, and a full disk empties when somebody makes room; a backend that stays
 * away has lost the result.
 */
const patienceOf = {
  backend: 'backendPatienceMs',
  spool: 'fullPatienceMs',
  store: 'storePatienceMs',
  room: 'fullPatienceMs',
} as const satisfies Record<Cause, keyof Tempo['transfer']>;

/** Other failures are the backend's; `null`: another try cannot mend it. */
const causeOf: Partial<Record<ErrorCode, Cause | null>> = {
  output_missing: null,
  output_broken: null,
  media_too_large: null,
  invalid_request: null,
  execution_failed: null,
  target_refused: null,
  spool_full: 'spool',
  // What an operator of the store, or of the client's own, mends in a while.
  storage_failed: 'store',
  target_failed: 'store',
  storage_full: 'room',
};

/** A try has to get so much further, as a share of the whole, to count for more than those before. */
const stepForward = 0.01;

interface Window {
  readonly since: number;
  readonly pauseMs: number;
}

/**
 * How long a transfer is repeated. Each cause has its own window, from its first failure on. A try that
 * fails at a later cause got past the earlier ones, and one that moves more of the result than any before
 * got past all: their windows begin anew when they fail again. So each cause is waited for in full, but
 * no mix of them, and nothing that drips, is waited for for ever.
 */
export class TransferPatience {
  readonly #tempo: Tempo['transfer'];
  readonly #windows = new Map<Cause, Window>();
  #furthest = 0;

  constructor(tempo: Tempo['transfer']) {
    this.#tempo = tempo;
  }

  /** A try has moved such a share of the result, 0 to 1. */
  moved(share: number): void {
    if (share < this.#furthest + stepForward) return;
    this.#furthest = share;
    this.#windows.clear();
  }

  /** How long to pause before another try, milliseconds; `null`: the failure is final. */
  pauseMs(error: unknown, now = performance.now()): number | null {
    const cause = causeOfError(error);
    if (cause === null) return null;
    for (const earlier of causes.slice(0, causes.indexOf(cause))) this.#windows.delete(earlier);
    const { firstPauseMs, longestPauseMs } = this.#tempo;
    const { since, pauseMs } = this.#windows.get(cause) ?? { since: now, pauseMs: firstPauseMs };
    if (now - since + pauseMs > this.#tempo[patienceOf[cause]]) return null;
    this.#windows.set(cause, { since, pauseMs: Math.min(pauseMs * 4, longestPauseMs) });
    return pauseMs;
  }
}

/** Whether a disk is full, ours or the store's. */
export function isWantOfRoom(error: unknown): boolean {
  const cause = causeOfError(error);
  return cause === 'spool' || cause === 'room';
}

function causeOfError(error: unknown): Cause | null {
  if (!(error instanceof GatewayError)) return null;
  const cause = causeOf[error.code];
  return cause === undefined ? 'backend' : cause;
}
