import type { Backend, BackendSlot, Occupant } from '../comfyui/backend.ts';
import type { Guest, WaitingRoom } from './waiting-room.ts';

interface Place {
  readonly room: WaitingRoom;
  readonly guest: Guest;
  readonly reserved: Disposable;
}

/**
 * A task's way to a GPU. First it has a place in front of a backend, where it is made ready while the
 * GPU still works on the task before; then it has a GPU: that one or, where another falls idle first,
 * the other.
 */
export class Seat implements Disposable {
  #backend: Backend;
  /** `null` where there is nothing to wait for. */
  readonly #place: Place | null;
  #slot: BackendSlot | null;
  /** From the GPU on until the task needs nothing more of its backend. */
  #attachment: Disposable | null;

  private constructor(backend: Backend, taken: Place | BackendSlot) {
    this.#backend = backend;
    this.#place = 'room' in taken ? taken : null;
    this.#slot = 'room' in taken ? null : taken;
    this.#attachment = this.#slot && backend.attach();
  }

  /** A place in front of the backend; `null` when another task has it. */
  static before(backend: Backend, guest: Guest, room: WaitingRoom): Seat | null {
    const reserved = backend.reservePlace(guest);
    return reserved && new Seat(backend, { guest, room, reserved });
  }

  /** The GPU on which a prompt of the task is already. */
  static at(backend: Backend, occupant: Occupant): Seat {
    return new Seat(backend, backend.takeForAdoption(occupant));
  }

  /** The backend for which the task is made ready, and from `takeGpu` on the one that runs it. */
  get backend(): Backend {
    return this.#backend;
  }

  /**
   * Waits for a GPU, as long as it takes, and gives the place before it to the next task. `fits`: which
   * others but the backend that it was made ready for may be chosen.
   *
   * @throws SeatLostError when the backend takes nothing any more.
   */
  async takeGpu(
    signal: AbortSignal,
    fits: (backend: Backend) => boolean = () => true,
  ): Promise<void> {
    if (this.#slot || !this.#place) return;
    const { room, guest } = this.#place;
    this.#slot = await room.takeGpu({ ...guest, fits }, this.#backend, signal);
    this.#backend = this.#slot.backend;
    this.#attachment = this.#backend.attach();
    this.#place.reserved[Symbol.dispose]();
  }

  /** Gives up the GPU. Once is enough; more does nothing. */
  release(): void {
    this.#place?.reserved[Symbol.dispose]();
    this.#slot?.release();
  }

  /** Gives up everything: the task needs nothing more of its backend. */
  [Symbol.dispose](): void {
    this.release();
    this.#attachment?.[Symbol.dispose]();
  }
}
