import type { Backend, BackendSlot } from './backend.ts';

/** Who waits for a GPU with everything ready. */
interface Waiter {
  readonly preferred: Backend;
  readonly resolve: (slot: BackendSlot) => void;
}

/**
 * Tasks that are ready and wait for a GPU. A backend that falls idle takes the one that was made
 * ready for it, whose input it has already, or else the one that has waited longest.
 */
export class WaitingRoom {
  readonly #idle: () => Backend | null;
  readonly #waiters: Waiter[] = [];

  /** `idle` finds a backend whose GPU nobody has. */
  constructor(idle: () => Backend | null) {
    this.#idle = idle;
  }

  /** Gives the idle backend to who waits; `false` when nobody does. */
  offer(backend: Backend): boolean {
    const waiter = this.#waiters.find(({ preferred }) => preferred === backend) ?? this.#waiters[0];
    const slot = waiter && backend.take();
    if (!slot) return false;
    this.#leave(waiter);
    waiter.resolve(slot);
    return true;
  }

  /** A GPU, as soon as there is one: the preferred backend's if it can be chosen. */
  async takeGpu(preferred: Backend, signal: AbortSignal): Promise<BackendSlot> {
    signal.throwIfAborted();
    return preferred.take() ?? this.#idle()?.take() ?? (await this.#wait(preferred, signal));
  }

  async #wait(preferred: Backend, signal: AbortSignal): Promise<BackendSlot> {
    const { promise, resolve, reject } = Promise.withResolvers<BackendSlot>();
    const waiter: Waiter = { preferred, resolve };
    this.#waiters.push(waiter);
    const abort = () => {
      this.#leave(waiter);
      reject(signal.reason);
    };
    signal.addEventListener('abort', abort, { once: true });
    try {
      return await promise;
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  #leave(waiter: Waiter): void {
    const index = this.#waiters.indexOf(waiter);
    if (index >= 0) this.#waiters.splice(index, 1);
  }
}

/**
 * A task's way to a GPU. First it has a place in front of a backend, where it is made ready while the
 * GPU still works on the task before; then it has a GPU: that one or, where another falls idle first,
 * the other.
 */
export class Seat implements Disposable {
  readonly #room: WaitingRoom;
  #backend: Backend;
  #place: Disposable | null;
  #slot: BackendSlot | null;

  private constructor(
    room: WaitingRoom,
    backend: Backend,
    place: Disposable | null,
    slot: BackendSlot | null,
  ) {
    this.#room = room;
    this.#backend = backend;
    this.#place = place;
    this.#slot = slot;
  }

  /** A place in front of the backend; `null` when another task has it. */
  static before(backend: Backend, room: WaitingRoom): Seat | null {
    const place = backend.reservePlace();
    return place && new Seat(room, backend, place, null);
  }

  /** The GPU on which a prompt of the task is already. */
  static at(backend: Backend, room: WaitingRoom): Seat {
    return new Seat(room, backend, null, backend.takeForAdoption());
  }

  /** The backend for which the task is made ready, and from `takeGpu` on the one that runs it. */
  get backend(): Backend {
    return this.#backend;
  }

  /** Waits for a GPU, as long as it takes, and gives the place before it to the next task. */
  async takeGpu(signal: AbortSignal): Promise<void> {
    if (this.#slot) return;
    this.#slot = await this.#room.takeGpu(this.#backend, signal);
    this.#backend = this.#slot.backend;
    this.#leavePlace();
  }

  /** Gives up what it has. Once is enough; more does nothing. */
  release(): void {
    this.#leavePlace();
    this.#slot?.release();
  }

  #leavePlace(): void {
    this.#place?.[Symbol.dispose]();
    this.#place = null;
  }

  [Symbol.dispose](): void {
    this.release();
  }
}
