import { realTempo, type Tempo } from '../core/tempo.ts';

const failuresInARow = 3;

/**
 * Whether a backend deserves work. It is closed while all is well; opens when it is tripped, or after
 * three failures in a row; rests, longer each time; then is half open: one task decides.
 */
export class CircuitBreaker {
  readonly #tempo: Tempo['breaker'];
  #failures = 0;
  #trips = 0;
  #state: 'closed' | 'open' | 'half-open' = 'closed';

  constructor(tempo: Tempo['breaker'] = realTempo.breaker) {
    this.#tempo = tempo;
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }

  get isHalfOpen(): boolean {
    return this.#state === 'half-open';
  }

  /** How long it rests before the next trial, milliseconds. */
  get restMs(): number {
    const { firstRestMs, longestRestMs } = this.#tempo;
    return Math.min(firstRestMs * 2 ** Math.max(0, this.#trips - 1), longestRestMs);
  }

  /** What it ended well before it was opened says nothing of how it is now. */
  succeed(): void {
    if (this.#state === 'open') return;
    this.#failures = 0;
    this.#trips = 0;
    this.#state = 'closed';
  }

  /** Counts a failure; tells whether that opened it. */
  fail(): boolean {
    this.#failures += 1;
    if (this.#state === 'open') return false;
    if (this.#state === 'closed' && this.#failures < failuresInARow) return false;
    this.trip();
    return true;
  }

  /** Opens it at once. */
  trip(): void {
    if (this.#state !== 'open') this.#trips += 1;
    this.#state = 'open';
  }

  /** Lets one task through. */
  tryOut(): void {
    if (this.#state === 'open') this.#state = 'half-open';
  }
}
