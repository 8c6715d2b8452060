import type { Backend } from '../comfyui/backend.ts';
import type { GpuSeat, Occupant } from '../comfyui/occupancy.ts';
import type { Arrival, SeatWish } from './arrivals.ts';
import type { GpuRequest, WaitingRoom } from './waiting-room.ts';

/** How a task that was claimed for a backend comes to a seat there or elsewhere, and from there to a GPU. */
interface Way {
  readonly arrival: Arrival;
  readonly room: WaitingRoom;
  readonly request: GpuRequest;
}

/**
 * What a task has of a backend. At first nothing, while its sources are on their way; then the seat in
 * front of its GPU, where it is made ready while the GPU still works on the task before; then the GPU: that
 * one or, where another falls idle first, the other; then the backend alone, until its results are fetched.
 */
export class Seat implements Disposable {
  #backend: Backend;
  /** `null` where there is nothing to wait for. */
  readonly #way: Way | null;
  #inFront: Disposable | null = null;
  #gpu: GpuSeat | null;

  private constructor(backend: Backend, way: Way | null, gpu: GpuSeat | null) {
    this.#backend = backend;
    this.#way = way;
    this.#gpu = gpu;
  }

  /** That of a task which was claimed for the backend. */
  static for(backend: Backend, way: Way): Seat {
    return new Seat(backend, way, null);
  }

  /** At the GPU where a prompt of the task is already. */
  static at(backend: Backend, occupant: Occupant): Seat {
    return new Seat(backend, null, backend.adopt(occupant));
  }

  /**
   * The backend that the task was claimed for; from `takeInFront` on the one for which it is made ready, and
   * from `takeGpu` on the one that runs it.
   */
  get backend(): Backend {
    return this.#backend;
  }

  /** Backends where the task failed. */
  get avoid(): readonly string[] {
    return this.#way?.request.avoid ?? [];
  }

  /**
   * Waits for a seat in front of a GPU, the sources of the task being here.
   *
   * @throws SeatLostError when no backend takes it at present.
   */
  async takeInFront(wish: SeatWish, signal: AbortSignal): Promise<void> {
    if (this.#inFront || !this.#way) return;
    const taken = await this.#way.arrival.takeSeat(wish, signal);
    this.#backend = taken.backend;
    this.#inFront = taken.seat;
  }

  /**
   * Waits for a GPU, as long as it takes, and gives the seat in front of it to the next task. `fits`:
   * which others but the backend that the task was made ready for may be chosen.
   *
   * @throws SeatLostError when the backend takes nothing any more.
   */
  async takeGpu(signal: AbortSignal, fits: SeatWish['fits'] = () => true): Promise<void> {
    if (this.#gpu || !this.#way) return;
    const { room, request } = this.#way;
    const taken = await room.takeGpu({ ...request, fits }, this.#backend, signal);
    this.#backend = taken.backend;
    this.#gpu = taken.seat;
    this.#inFront?.[Symbol.dispose]();
  }

  /** Gives up the GPU. Once is enough; more does nothing. */
  release(): void {
    this.#way?.arrival[Symbol.dispose]();
    this.#inFront?.[Symbol.dispose]();
    this.#gpu?.release();
  }

  /** Gives up everything: the task needs nothing more of its backend. */
  [Symbol.dispose](): void {
    this.release();
    this.#gpu?.[Symbol.dispose]();
  }
}
