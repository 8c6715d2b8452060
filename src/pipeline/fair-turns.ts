import { mayTakePlace } from '../core/fair-places.ts';

/** What is done for one key, and what waits, first come first. */
interface Party {
  running: number;
  readonly waiting: Set<() => void>;
}

/**
 * Places for transfers of a kind, shared fairly between keys such as tenants: the next place goes to the
 * key that has fewest, and no key ever has so many that another finds none.
 */
export class FairTurns {
  readonly #places: number;
  /** By the key; the one whose work came to an end last is last. */
  readonly #parties = new Map<string, Party>();
  #taken = 0;

  /** `places`: how many may run at once. */
  constructor(places: number) {
    this.#places = places;
  }

  /**
   * Does the work when its turn has come. `onWaiting` is told when that is not at once.
   *
   * @throws the signal's reason while it waits; whatever `work` throws.
   */
  async run<T>(
    key: string,
    signal: AbortSignal,
    work: () => Promise<T>,
    onWaiting: () => void = () => {},
  ): Promise<T> {
    const party = await this.#turn(key, signal, onWaiting);
    try {
      return await work();
    } finally {
      this.#giveUp(key, party);
    }
  }

  async #turn(key: string, signal: AbortSignal, onWaiting: () => void): Promise<Party> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const party = this.#parties.get(key) ?? { running: 0, waiting: new Set() };
    party.waiting.add(resolve);
    this.#keep(key, party);
    this.#serve();
    if (!party.waiting.has(resolve)) return party;
    onWaiting();
    const leave = () => {
      // One that was served in the same moment has its place, and its work sees the signal.
      if (!party.waiting.delete(resolve)) return;
      this.#keep(key, party);
      reject(signal.reason);
    };
    signal.addEventListener('abort', leave, { once: true });
    try {
      await promise;
    } finally {
      signal.removeEventListener('abort', leave);
    }
    return party;
  }

  /** Gives the free places to those who wait. */
  #serve(): void {
    for (;;) {
      const next = this.#next();
      if (!next) return;
      const [begin] = next.waiting;
      if (!begin) return;
      next.waiting.delete(begin);
      next.running += 1;
      this.#taken += 1;
      begin();
    }
  }

  /** The key that has fewest places of those that wait for one and may have it. */
  #next(): Party | null {
    const able = [...this.#parties.values()].filter(
      ({ running, waiting }) =>
        waiting.size > 0 && mayTakePlace(running, this.#taken, this.#places),
    );
    return able.sort((a, b) => a.running - b.running)[0] ?? null;
  }

  #giveUp(key: string, party: Party): void {
    party.running -= 1;
    this.#taken -= 1;
    this.#parties.delete(key);
    this.#keep(key, party);
    this.#serve();
  }

  /** Of a key that has nothing, nothing is kept. */
  #keep(key: string, party: Party): void {
    if (party.running + party.waiting.size > 0) this.#parties.set(key, party);
    else this.#parties.delete(key);
  }
}
