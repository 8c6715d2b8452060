import { EventEmitter } from 'node:events';
import { BusyMeter } from './busy-meter.ts';

/** With so many results still to be fetched a backend makes no more of them. */
export const mostUnfetched = 16;

/** A task that has a seat at a backend. */
export interface Occupant {
  readonly taskId: string;
  readonly workflow: string;
  readonly tenant: string;
}

/** A seat at the GPU. Disposing of it gives up the GPU and the backend: nothing is left to fetch from it. */
export interface GpuSeat extends Disposable {
  /** Gives the GPU to the next task. Once is enough; more does nothing. */
  release(): void;
}

interface OccupancyEventMap {
  /** The GPU was taken or given up. */
  gpu: [];
  /** The seat in front of it was taken or given up. */
  next: [];
  /** A seat was given up, or is not kept any more: a task may be made ready. */
  room: [];
}

/** Who has a backend's GPU or the seat in front of it, and whose models are in its memory. */
export class Occupancy extends EventEmitter<OccupancyEventMap> {
  readonly #now: () => number;
  readonly #busy: BusyMeter;
  #next: Occupant | null = null;
  /** Those that may want the seat in front of the GPU within a moment. */
  readonly #expected = new Set<Occupant>();
  /** Those with a prompt on the GPU: one, or more while prompts are adopted. */
  readonly #running = new Set<Occupant>();
  /** Those, and those whose results are still being fetched. */
  readonly #present = new Set<Occupant>();
  #ranSince = 0;
  #warm: string | null = null;

  /** `now` tells monotonic milliseconds. */
  constructor(now: () => number = () => performance.now()) {
    super();
    this.#now = now;
    this.#busy = new BusyMeter(now());
  }

  /** The task that is made ready in front of the GPU. */
  get next(): Occupant | null {
    return this.#next;
  }

  /** Whether the seat in front of the GPU is kept for a task. */
  get isExpecting(): boolean {
    return this.#expected.size > 0;
  }

  /** The task that has had the GPU for longest. */
  get running(): Occupant | null {
    const [first] = this.#running;
    return first ?? null;
  }

  /** How long the GPU has worked on what it has, milliseconds; `null` while it has nothing. */
  get runningMs(): number | null {
    return this.#running.size === 0 ? null : this.#now() - this.#ranSince;
  }

  /** Whether no task has a seat here. */
  get isVacant(): boolean {
    return this.#next === null && this.#present.size === 0;
  }

  /** How many tasks have left the GPU and have results here that are still to be fetched. */
  get unfetched(): number {
    return this.#present.size - this.#running.size;
  }

  /** Which share of the last five minutes the GPU had a task, 0 to 1. */
  get busyShare(): number {
    return this.#busy.share(this.#now());
  }

  /** The workflow of the last prompt, whose models are in memory; `null`: none are, or it is not known. */
  get warm(): string | null {
    return this.#warm;
  }

  /** The workflow whose models will be in memory when all have run that have a seat here or may soon. */
  get holds(): string | null {
    const [expected] = this.#expected;
    return (expected ?? this.#next ?? this.running)?.workflow ?? this.#warm;
  }

  /** How many of the tenant's tasks have the GPU or the seat in front of it. */
  seatsOf(tenant: string): number {
    const seated = [this.#next, ...this.#running];
    return seated.filter((occupant) => occupant?.tenant === tenant).length;
  }

  /** Keeps the seat in front of the GPU for a task that may be here soon, from others that are not here. */
  expect(occupant: Occupant): Disposable {
    this.#expected.add(occupant);
    return {
      [Symbol.dispose]: () => {
        if (this.#expected.delete(occupant)) this.emit('room');
      },
    };
  }

  /** Takes the seat in front of the GPU; `null` when another task has it. */
  takeNext(occupant: Occupant): Disposable | null {
    if (this.#next !== null) return null;
    this.#next = occupant;
    this.emit('next');
    return {
      [Symbol.dispose]: () => {
        if (this.#next !== occupant) return;
        this.#next = null;
        this.emit('next');
        this.emit('room');
      },
    };
  }

  /** Takes a seat at the GPU, whoever else has one. */
  takeGpu(occupant: Occupant): GpuSeat {
    if (this.#running.size === 0) this.#ranSince = this.#now();
    this.#running.add(occupant);
    this.#present.add(occupant);
    this.#busy.begin(this.#now());
    this.emit('gpu');
    const release = () => {
      if (!this.#running.delete(occupant)) return;
      this.#busy.end(this.#now());
      this.emit('gpu');
    };
    const leave = () => {
      release();
      if (this.#present.delete(occupant)) this.emit('room');
    };
    return { release, [Symbol.dispose]: leave };
  }

  /** A prompt of the workflow was posted: from now on its models are the ones in memory. */
  posted(workflow: string): void {
    this.#warm = workflow;
  }

  /** The models were let go of, or may have been. */
  cool(): void {
    this.#warm = null;
  }
}
