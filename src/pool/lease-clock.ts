/** What a gateway holds by lease. */
export type Leased = 'claims' | 'backends';

/**
 * Whether this gateway can still be sure of its leases, by its own clock. A process that was stopped
 * and wakes up finds here that it must touch no backend, before it could ask the database: its
 * successor may be at work there.
 */
export class LeaseClock {
  readonly #leaseMs: number;
  readonly #renewedAt: Record<Leased, number> = {
    claims: Number.NEGATIVE_INFINITY,
    backends: Number.NEGATIVE_INFINITY,
  };

  constructor(leaseMs: number) {
    this.#leaseMs = leaseMs;
  }

  /** A renewal succeeded that was asked for at this instant (`performance.now()`). */
  renewed(what: Leased, askedAt: number): void {
    this.#renewedAt[what] = askedAt;
  }

  get isSure(): boolean {
    const oldest = Math.min(this.#renewedAt.claims, this.#renewedAt.backends);
    return performance.now() - oldest < this.#leaseMs;
  }
}
