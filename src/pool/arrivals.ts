import type { Backend } from '../comfyui/backend.ts';
import { realTempo, type Tempo } from '../core/tempo.ts';
import { Timers } from '../timing/timers.ts';
import { type Wait, WaitList } from './wait-list.ts';
import { type GpuRequest, SeatElsewhereError, SeatLostError } from './waiting-room.ts';

/** The seat in front of the backend's GPU; disposing of it gives it up. */
export interface TakenSeat {
  readonly backend: Backend;
  readonly seat: Disposable;
}

/** What a task asks for whose sources are here. */
export interface SeatWish {
  /** Which others but the backend that it was claimed for could do with its inputs. */
  readonly fits: (backend: Backend) => boolean;
  /** How wrong backends get its sources; left out where none does. */
  readonly misreads?: Misreads | null;
  /** Is told when no seat is free. */
  readonly onWaiting: () => void;
}

/** One that gets more wrong than another in service, which could do with the task as well, is kept off it. */
export interface Misreads {
  readonly by: (backend: Backend) => number;
  /** What the best of those in service gets wrong that other gateways drive; infinite where there is none. */
  readonly elsewhere: () => number;
}

/** A claimed task that has no seat yet. Disposing of it ends its wish for one. */
export interface Arrival extends Disposable {
  /**
   * Takes a seat, as soon as there is one: that which it was claimed for if it can be chosen.
   *
   * @throws SeatLostError when no backend takes it at present.
   */
  takeSeat(wish: SeatWish, signal: AbortSignal): Promise<TakenSeat>;
}

/** A task that is ready for a seat, and for which none is free. */
interface WantedSeat {
  readonly request: GpuRequest;
  readonly claimedFor: Backend;
  readonly fits: SeatWish['fits'];
  readonly misreads: Misreads | null;
}

/** So many of a line wait for servers that get their sources right, while others of it may be claimed elsewhere. */
const mostKeptOff = 4;

/**
 * Tasks that were claimed and have no seat yet, because their sources are on their way. The seat that one
 * was claimed for is kept for it for a moment; then it is open to others. Whoever is ready takes the next
 * seat that is free, before any that is not.
 */
export class Arrivals implements Disposable {
  readonly #backends: () => Iterable<Backend>;
  readonly #onGone: () => void;
  readonly #tempo: Tempo['waitingRoom'];
  readonly #coming = new Set<GpuRequest>();
  readonly #list = new WaitList<WantedSeat, TakenSeat>();
  readonly #timers = new Timers();

  /** `onGone` hears that one is not on its way any more: another may be claimed. */
  constructor(
    backends: () => Iterable<Backend>,
    onGone: () => void,
    tempo: Tempo['waitingRoom'] = realTempo.waitingRoom,
  ) {
    this.#backends = backends;
    this.#onGone = onGone;
    this.#tempo = tempo;
  }

  /** How many have no seat yet. */
  get size(): number {
    return this.#coming.size;
  }

  /** How many of them are the tenant's. */
  countOf(tenant: string): number {
    return this.#coming.values().reduce((sum, each) => sum + Number(each.tenant === tenant), 0);
  }

  /** Whether one is ready and waits for a seat there: it was claimed for the backend, or is kept off its own. */
  isWaitedFor(backend: Backend): boolean {
    return this.#list.waits.some(({ wanted }) => {
      const isKeptOff = this.#isKeptOff(wanted, wanted.claimedFor);
      return isKeptOff ? this.#mayTake(wanted, backend) : wanted.claimedFor === backend;
    });
  }

  /**
   * Whether enough tasks of the line wait that are kept off the backend: the next one may be alike, and others can do
   * with the backend.
   */
  areKeptOff(
    backend: Backend,
    { workflow, tenant }: Pick<GpuRequest, 'workflow' | 'tenant'>,
  ): boolean {
    const alike = this.#list.waits.filter(
      ({ wanted }) => wanted.request.workflow === workflow && wanted.request.tenant === tenant,
    );
    if (alike.length < mostKeptOff) return false;
    return alike.filter(({ wanted }) => this.#isKeptOff(wanted, backend)).length >= mostKeptOff;
  }

  /** The task was claimed for the backend, and is on its way from now on. */
  expect(backend: Backend, request: GpuRequest): Arrival {
    this.#coming.add(request);
    const kept = backend.expect(request);
    const late = this.#timers.after(this.#tempo.arrivalDeadlineMs, () => kept[Symbol.dispose]());
    const gone = () => {
      late[Symbol.dispose]();
      kept[Symbol.dispose]();
      if (this.#coming.delete(request)) this.#onGone();
    };
    return {
      takeSeat: async ({ fits, misreads = null, onWaiting }, signal) => {
        const wanted = { request, claimedFor: backend, fits, misreads };
        this.#refuseElsewhere(wanted);
        // Others can do with the seat that is kept for it.
        if (this.#isKeptOff(wanted, backend)) kept[Symbol.dispose]();
        const taken = this.#takeAny(wanted) ?? (await this.#wait(wanted, onWaiting, signal));
        gone();
        return taken;
      },
      [Symbol.dispose]: gone,
    };
  }

  /** Gives the seat in front of the backend's GPU to who waits for one; `false` when nobody does. */
  offer(backend: Backend): boolean {
    // It came back without what those need that were claimed for it.
    if (backend.isInService) this.#sendAwayLost(({ claimedFor }) => claimedFor === backend);
    const [first] = this.#list.waits
      .filter(({ wanted }) => this.#suits(wanted, backend))
      // Ties stay in the order in which they came.
      .toSorted((a, b) => this.#seatsOf(a) - this.#seatsOf(b));
    const taken = first && take(first.wanted, backend);
    if (taken) this.#list.give(first, taken);
    this.#placeWithout(backend);
    return taken !== undefined && taken !== null;
  }

  /** Those who waited for the backend because it gets their sources right: they do without where it is unable. */
  #placeWithout(backend: Backend): void {
    for (const wait of this.#list.waits) {
      const { wanted } = wait;
      if (wanted.misreads === null || mightTake(wanted, backend)) continue;
      const taken = this.#takeAny(wanted);
      if (taken) this.#list.give(wait, taken);
    }
  }

  /** A backend takes nothing for now. Unless it is back soon, others are to do for those who wait for it. */
  vacate(): void {
    this.#timers.after(this.#tempo.awayMs, () => {
      this.#sendAwayLost(() => true);
      for (const backend of this.#backends()) this.offer(backend);
    });
  }

  /** Sends away those whom no backend in service takes. */
  #sendAwayLost(isMeant: (wanted: WantedSeat) => boolean): void {
    const inService = [...this.#backends()].filter((backend) => backend.isInService);
    for (const wait of this.#list.waits.filter(({ wanted }) => isMeant(wanted))) {
      if (inService.some((backend) => this.#mayTake(wait.wanted, backend))) continue;
      const lost = new SeatLostError('No backend in service takes it');
      this.#list.sendAway(wait, this.#elsewhere(wait.wanted) ?? lost);
    }
  }

  /** @throws SeatElsewhereError where a backend of another gateway gets the sources right, and none of ours. */
  #refuseElsewhere(wanted: WantedSeat): void {
    const elsewhere = this.#elsewhere(wanted);
    if (elsewhere) throw elsewhere;
  }

  #elsewhere({ misreads, ...wanted }: WantedSeat): SeatElsewhereError | null {
    if (misreads === null) return null;
    const inService = [...this.#backends()].filter((backend) => backend.isInService);
    const able = inService.filter((backend) => mightTake({ ...wanted, misreads }, backend));
    const least = Math.min(...able.map(misreads.by));
    // Of ours, one may be back in a moment.
    if (able.length === 0 || least === 0 || misreads.elsewhere() >= least) return null;
    return new SeatElsewhereError(able.map(({ label }) => label));
  }

  #takeAny(wanted: WantedSeat): TakenSeat | null {
    for (const backend of [wanted.claimedFor, ...this.#backends()]) {
      const taken = this.#suits(wanted, backend) ? take(wanted, backend) : null;
      if (taken) return taken;
    }
    return null;
  }

  async #wait(wanted: WantedSeat, onWaiting: () => void, signal: AbortSignal): Promise<TakenSeat> {
    onWaiting();
    if (!wanted.claimedFor.isInService) this.vacate();
    return await this.#list.wait(wanted, signal);
  }

  /** How many seats the tenant has by now: who has fewest goes first. */
  #seatsOf({ wanted }: Wait<WantedSeat, TakenSeat>): number {
    const { tenant } = wanted.request;
    return [...this.#backends()].reduce((sum, backend) => sum + backend.seatsOf(tenant), 0);
  }

  /**
   * Whether the task takes the seat there now. In front of a GPU that works on other models than its own it
   * does not: there is work for these, and its own seat is free when the task before it ends.
   */
  #suits(wanted: WantedSeat, backend: Backend): boolean {
    if (!backend.hasSeat || !this.#mayTake(wanted, backend)) return false;
    const { request, claimedFor } = wanted;
    const isAtRest = backend.state === 'idle' && backend.hasRoom;
    const isWarm = backend.holds === request.workflow;
    const hasOwn = claimedFor.isInService && this.#mayTake(wanted, claimedFor);
    return backend === claimedFor || isAtRest || isWarm || !hasOwn;
  }

  #mayTake(wanted: WantedSeat, backend: Backend): boolean {
    return mightTake(wanted, backend) && !this.#isKeptOff(wanted, backend);
  }

  /** Whether another one in service gets its sources less wrong. */
  #isKeptOff(wanted: WantedSeat, backend: Backend): boolean {
    const { misreads } = wanted;
    const here = misreads?.by(backend) ?? 0;
    if (misreads === null || here === 0) return false;
    return [...this.#backends()].some(
      (other) => other.isInService && misreads.by(other) < here && mightTake(wanted, other),
    );
  }

  [Symbol.dispose](): void {
    this.#timers[Symbol.dispose]();
  }
}

function take({ request }: WantedSeat, backend: Backend): TakenSeat | null {
  const seat = backend.takeNext(request);
  return seat && { backend, seat };
}

/** Whether the task could run there at all. */
function mightTake({ request, claimedFor, fits }: WantedSeat, backend: Backend): boolean {
  if (!backend.canRun(request.graph)) return false;
  return backend === claimedFor || (!request.avoid.includes(backend.label) && fits(backend));
}
