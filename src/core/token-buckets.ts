/** A bucket as it was when somebody last took from it. */
interface Bucket {
  readonly tokens: number;
  /** Milliseconds. */
  readonly at: number;
}

/** What a bucket has. */
export interface Level {
  /** Whole tokens. */
  readonly left: number;
  /** Until it is full again, seconds. */
  readonly fullInS: number;
  /** Until it has a token, seconds; 0 where it has one. */
  readonly nextInS: number;
}

/** Buckets that nobody has taken from for the longest are forgotten beyond so many. */
const mostBuckets = 10_000;

/**
 * Token buckets by name: each holds `most`, and fills up evenly in a minute. All are full at first. Instants are
 * milliseconds of any clock that only goes forward.
 */
export class TokenBuckets {
  readonly most: number;
  readonly #perMs: number;
  readonly #buckets = new Map<string, Bucket>();

  constructor(most: number) {
    this.most = most;
    this.#perMs = most / 60_000;
  }

  /** Takes a token where there is one, and tells what is left. */
  take(name: string, now: number): Level & { readonly isTaken: boolean } {
    const tokens = this.#tokens(name, now);
    if (tokens < 1) return { isTaken: false, ...this.#level(tokens) };
    // The one that was taken from last comes last.
    this.#buckets.delete(name);
    this.#buckets.set(name, { tokens: tokens - 1, at: now });
    const [oldest] = this.#buckets.keys();
    if (this.#buckets.size > mostBuckets && oldest !== undefined) this.#buckets.delete(oldest);
    return { isTaken: true, ...this.#level(tokens - 1) };
  }

  look(name: string, now: number): Level {
    return this.#level(this.#tokens(name, now));
  }

  #tokens(name: string, now: number): number {
    const bucket = this.#buckets.get(name);
    return bucket
      ? Math.min(this.most, bucket.tokens + (now - bucket.at) * this.#perMs)
      : this.most;
  }

  #level(tokens: number): Level {
    const seconds = (missing: number) => Math.ceil(Math.max(0, missing) / this.#perMs / 1_000);
    return {
      left: Math.floor(tokens),
      fullInS: seconds(this.most - tokens),
      nextInS: seconds(1 - tokens),
    };
  }
}
