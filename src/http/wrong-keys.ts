import { createHash } from 'node:crypto';
import { addressGroup } from '../core/address-group.ts';
import { type GatewayError, limitExceeded } from '../core/errors.ts';
import { TokenBuckets } from '../core/token-buckets.ts';

/** Keys that were right are forgotten beyond so many, those that came first. */
const mostRemembered = 10_000;

/**
 * Counts wrong keys by the address that they come from. An address that has sent too many has no further key looked at
 * for a while, but those that were right from there: clients behind one NAT do not suffer for each other.
 */
export class WrongKeys {
  /** `null`: any number may come. */
  readonly #buckets: TokenBuckets | null;
  readonly #right = new Set<string>();

  /** `most`: in a minute, from one address. */
  constructor(most: number | null) {
    this.#buckets = most === null ? null : new TokenBuckets(most);
  }

  /** Why the key is not looked at; `null` where it may be. `address`: as the socket has it. */
  refusal(address: string, key: string): GatewayError | null {
    if (!this.#buckets) return null;
    const { most } = this.#buckets;
    const { fullInS, nextInS } = this.#buckets.look(addressGroup(address), performance.now());
    if (nextInS === 0 || this.#right.has(nameOf(address, key))) return null;
    return limitExceeded({
      message: `Too many wrong keys came from this address; try again in ${nextInS} seconds`,
      state: { name: 'wrong-keys', most, windowS: 60, left: 0, resetS: fullInS },
      retryAfterS: nextInS,
    });
  }

  /** The key was looked at. */
  note(address: string, key: string, isRight: boolean): void {
    if (!this.#buckets) return;
    if (!isRight) {
      this.#buckets.take(addressGroup(address), performance.now());
      return;
    }
    this.#right.add(nameOf(address, key));
    const [first] = this.#right;
    if (this.#right.size > mostRemembered && first !== undefined) this.#right.delete(first);
  }
}

/** Of a key at an address; nothing of the key can be told from it. */
function nameOf(address: string, key: string): string {
  return createHash('sha256')
    .update(`${addressGroup(address)} ${key}`)
    .digest('base64');
}
