import type { Backend } from '../comfyui/backend.ts';
import type { GpuSeat, Occupant } from '../comfyui/occupancy.ts';
import type { GpuRequest, WaitingRoom } from './waiting-room.ts';

/** In front of a GPU, with what is asked of the waiting room when the task is ready. */
interface SeatInFront {
  readonly room: WaitingRoom;
  readonly request: GpuRequest;
  readonly next: Disposable;
}

/**
 * What a task has of a backend. First the seat in front of its GPU, where it is made ready while the
 * GPU still works on the task before; then the GPU: that one or, where another falls idle first, the
 * other; then the backend alone, until its results are fetched.
 */
export class Seat implements Disposable {
  #backend: Backend;
  /** `null` where there is nothing to wait for. */
  readonly #inFront: SeatInFront | null;
  #gpu: GpuSeat | null;

  private constructor(backend: Backend, inFront: SeatInFront | null, gpu: GpuSeat | null) {
    this.#backend = backend;
    this.#inFront = inFront;
    this.#gpu = gpu;
  }

  /** In front of the backend's GPU; `null` when another task has that seat. */
  static before(backend: Backend, request: GpuRequest, room: WaitingRoom): Seat | null {
    const next = backend.takeNext(request);
    return next && new Seat(backend, { request, room, next }, null);
  }

  /** At the GPU where a prompt of the task is already. */
  static at(backend: Backend, occupant: Occupant): Seat {
    return new Seat(backend, null, backend.adopt(occupant));
  }

  /** The backend for which the task is made ready, and from `takeGpu` on the one that runs it. */
  get backend(): Backend {
    return this.#backend;
  }

  /**
   * Waits for a GPU, as long as it takes, and gives the seat in front of it to the next task. `fits`:
   * which others but the backend that the task was made ready for may be chosen.
   *
   * @throws SeatLostError when the backend takes nothing any more.
   */
  async takeGpu(
    signal: AbortSignal,
    fits: (backend: Backend) => boolean = () => true,
  ): Promise<void> {
    if (this.#gpu || !this.#inFront) return;
    const { room, request, next } = this.#inFront;
    const taken = await room.takeGpu({ ...request, fits }, this.#backend, signal);
    this.#backend = taken.backend;
    this.#gpu = taken.seat;
    next[Symbol.dispose]();
  }

  /** Gives up the GPU. Once is enough; more does nothing. */
  release(): void {
    this.#inFront?.next[Symbol.dispose]();
    this.#gpu?.release();
  }

  /** Gives up everything: the task needs nothing more of its backend. */
  [Symbol.dispose](): void {
    this.release();
    this.#gpu?.[Symbol.dispose]();
  }
}
