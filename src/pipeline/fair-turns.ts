import { mayTakePlace, mostPlaces } from '../core/fair-places.ts';

/** What is done, and what waits, for one key. */
interface Party {
  running: number;
  waiting: number;
  /** When a work of its came to an end last, in the order of all ends. */
  lastEnd: number;
}

export interface TurnOptions {
  /** Told when it is not at once. */
  readonly onWaiting?: (() => void) | undefined;
  /** Whether all who are not so go first. */
  readonly isPatient?: boolean;
}

interface Turn {
  readonly parties: readonly Party[];
  readonly isPatient: boolean;
  readonly begin: () => void;
}

/**
 * Places for transfers of a kind, shared fairly between keys such as tenants: the next place goes to the
 * key that has fewest, and no key ever has so many that another finds none. A transfer may have further
 * keys that are within its first one, such as a tenant's results on one server: what the first key has is
 * shared between them in the same way.
 */
export class FairTurns {
  readonly #places: number;
  readonly #parties = new Map<string, Party>();
  /** First come first. */
  readonly #turns = new Set<Turn>();
  #taken = 0;
  #ends = 0;

  /** `places`: how many may run at once. */
  constructor(places: number) {
    this.#places = places;
  }

  /**
   * Does the work when its turn has come.
   *
   * @throws the signal's reason while it waits; whatever `work` throws.
   */
  async run<T>(
    keys: readonly string[],
    signal: AbortSignal,
    work: () => Promise<T>,
    options?: TurnOptions,
  ): Promise<T> {
    using _place = await this.take(keys, signal, options);
    return await work();
  }

  /**
   * A place, when its turn has come; disposing of it gives it up, and more than once is as once.
   *
   * @throws the signal's reason while it waits.
   */
  async take(
    keys: readonly string[],
    signal: AbortSignal,
    { onWaiting = () => {}, isPatient = false }: TurnOptions = {},
  ): Promise<Disposable> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const parties = keys.map((key) => this.#party(key));
    const turn = { parties, isPatient, begin: resolve };
    for (const party of turn.parties) party.waiting += 1;
    this.#turns.add(turn);
    this.#serve();
    const leave = () => {
      // One that was served in the same moment has its place, and its work sees the signal.
      if (!this.#turns.has(turn)) return;
      this.#leave(turn);
      this.#forget(keys);
      reject(signal.reason);
    };
    if (this.#turns.has(turn)) {
      onWaiting();
      signal.addEventListener('abort', leave, { once: true });
    }
    try {
      await promise;
    } finally {
      signal.removeEventListener('abort', leave);
    }
    const place = new DisposableStack();
    place.defer(() => this.#giveUp(keys, turn));
    return place;
  }

  /** Gives the free places to those who wait. */
  #serve(): void {
    for (let next = this.#next(); next; next = this.#next()) {
      this.#leave(next);
      for (const party of next.parties) party.running += 1;
      this.#taken += 1;
      next.begin();
    }
  }

  #next(): Turn | null {
    return [...this.#turns].filter((turn) => this.#mayBegin(turn)).sort(byShares)[0] ?? null;
  }

  #mayBegin({ parties: [first, ...within] }: Turn): boolean {
    if (!first || !mayTakePlace(first.running, this.#taken, this.#places)) return false;
    const most = mostPlaces(first.running, this.#taken, this.#places);
    return within.every(({ running }) => mayTakePlace(running, first.running, most));
  }

  #leave(turn: Turn): void {
    this.#turns.delete(turn);
    for (const party of turn.parties) party.waiting -= 1;
  }

  #giveUp(keys: readonly string[], { parties }: Turn): void {
    this.#ends += 1;
    this.#taken -= 1;
    for (const party of parties) {
      party.running -= 1;
      party.lastEnd = this.#ends;
    }
    this.#forget(keys);
    this.#serve();
  }

  #party(key: string): Party {
    const party = this.#parties.get(key) ?? { running: 0, waiting: 0, lastEnd: 0 };
    this.#parties.set(key, party);
    return party;
  }

  /** Of a key that has nothing, nothing is kept. */
  #forget(keys: readonly string[]): void {
    for (const key of keys) {
      const party = this.#parties.get(key);
      if (party && party.running + party.waiting === 0) this.#parties.delete(key);
    }
  }
}

/** Of those that are not patient, who has fewest comes first, and then who has done without for longest. */
function byShares(a: Turn, b: Turn): number {
  if (a.isPatient !== b.isPatient) return a.isPatient ? 1 : -1;
  for (const [index, one] of a.parties.entries()) {
    const other = b.parties[index];
    if (!other) return 1;
    const difference = one.running - other.running || one.lastEnd - other.lastEnd;
    if (difference !== 0) return difference;
  }
  return a.parties.length - b.parties.length;
}
