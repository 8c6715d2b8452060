import type { Backend } from '../comfyui/backend.ts';
import type { GpuSeat, Occupant } from '../comfyui/occupancy.ts';
import { type Candidate, isBetterLater, mayMoveInMs } from '../core/gpu-choice.ts';
import { realTempo, type Tempo } from '../core/tempo.ts';
import type { Workflow } from '../core/workflow.ts';
import { Timers } from '../timing/timers.ts';
import { type Wait, WaitList } from './wait-list.ts';

/** The backend in front of which a task waits takes nothing for now, and no other does either. */
export class SeatLostError extends Error {
  override readonly name: string = 'SeatLostError';
}

/** A backend of another gateway does better with the task than any of ours. */
export class SeatElsewhereError extends SeatLostError {
  override readonly name = 'SeatElsewhereError';
  /** Those that do worse. */
  readonly worse: readonly string[];

  constructor(worse: readonly string[]) {
    super('A backend of another gateway gets its sources right');
    this.worse = worse;
  }
}

/** What a task asks for that is made ready in front of a GPU. */
export interface GpuRequest extends Occupant {
  readonly graph: Workflow;
  /** Backends where it failed: another is waited for. */
  readonly avoid: readonly string[];
  /** Whether another backend could do with what the task needs, such as a large input. */
  readonly fits?: (backend: Backend) => boolean;
}

export interface TakenGpu {
  readonly backend: Backend;
  readonly seat: GpuSeat;
}

/** A request that no GPU is free for. */
interface WantedGpu {
  readonly request: GpuRequest;
  readonly preferred: Backend;
}

/**
 * Tasks that are ready and wait for a GPU. A backend that falls idle takes the one that was made
 * ready for it, whose input it has already, or else the one that has waited longest.
 */
export class WaitingRoom implements Disposable {
  readonly #backends: () => Iterable<Backend>;
  readonly #tempo: Tempo['waitingRoom'];
  readonly #list = new WaitList<WantedGpu, TakenGpu>();
  readonly #timers = new Timers();
  /** Idle backends that are going to be offered once more. */
  readonly #offeredAgain = new Set<Backend>();
  /** Whether the queue holds tasks beyond those that have a seat. */
  isMoreToCome = false;

  constructor(
    backends: () => Iterable<Backend>,
    tempo: Tempo['waitingRoom'] = realTempo.waitingRoom,
  ) {
    this.#backends = backends;
    this.#tempo = tempo;
  }

  /** Gives the idle backend to who waits; `false` when nobody does. */
  offer(backend: Backend): boolean {
    const own = this.#ownOf(backend);
    // It came back without what the task needs.
    if (own && !backend.canRun(own.wanted.request.graph)) this.#sendAway(own);
    const wait =
      this.#ownOf(backend) ??
      this.#list.waits.find(({ wanted }) => this.#mayMove(wanted.request, backend));
    if (!wait) return false;
    const taken = this.#take(wait.wanted.request, backend);
    if (taken) this.#list.give(wait, taken);
    return taken !== null;
  }

  /**
   * A GPU, as soon as there is one: the preferred backend's if it can be chosen.
   *
   * @throws SeatLostError when the preferred backend takes nothing any more and no other is idle.
   */
  async takeGpu(request: GpuRequest, preferred: Backend, signal: AbortSignal): Promise<TakenGpu> {
    signal.throwIfAborted();
    const taken = this.#take(request, preferred) ?? this.#takeElsewhere(request, preferred);
    if (taken) return taken;
    if (!preferred.isInService) this.vacate(preferred);
    return await this.#list.wait({ request, preferred }, signal);
  }

  /** The backend takes nothing for now: who waits for it is sent away, unless it is back soon. */
  vacate(backend: Backend): void {
    this.#timers.after(this.#tempo.awayMs, () => {
      if (backend.isInService) return;
      for (const wait of this.#list.waits) {
        if (wait.wanted.preferred === backend) this.#sendAway(wait);
      }
    });
  }

  #ownOf(backend: Backend): Wait<WantedGpu, TakenGpu> | undefined {
    return this.#list.waits.find(({ wanted }) => wanted.preferred === backend);
  }

  #takeElsewhere(request: GpuRequest, preferred: Backend): TakenGpu | null {
    for (const backend of this.#backends()) {
      if (backend === preferred || !this.#mayMove(request, backend)) continue;
      const taken = this.#take(request, backend);
      if (taken) return taken;
    }
    return null;
  }

  #take(request: GpuRequest, backend: Backend): TakenGpu | null {
    if (backend.state !== 'idle') return null;
    if (this.#isBetterLater(request, backend)) {
      this.#offerAgain(backend, this.#tempo.reconsiderMs);
      return null;
    }
    const seat = backend.takeGpu(request);
    return seat && { backend, seat };
  }

  /** Whether the backend takes a task now that was made ready for another; it may later. */
  #mayMove(request: GpuRequest, backend: Backend): boolean {
    const inMs = mayMoveInMs(candidate(request, backend), this.#tempo.beforeSwitchMs);
    if (inMs !== null && inMs > 0) this.#offerAgain(backend, inMs);
    return inMs === 0;
  }

  #isBetterLater(request: GpuRequest, backend: Backend): boolean {
    const others = [...this.#backends()].filter((other) => other !== backend);
    return isBetterLater(candidate(request, backend), {
      others: others.map((other) => candidate(request, other)),
      ahead: this.#list.waits.filter(({ wanted }) => wanted.request !== request).length,
      isMoreToCome: this.isMoreToCome,
      switchMs: this.#tempo.beforeSwitchMs,
    });
  }

  #offerAgain(backend: Backend, afterMs: number): void {
    if (this.#offeredAgain.has(backend)) return;
    this.#offeredAgain.add(backend);
    this.#timers.after(afterMs, () => {
      this.#offeredAgain.delete(backend);
      if (backend.state === 'idle') this.offer(backend);
    });
  }

  #sendAway(wait: Wait<WantedGpu, TakenGpu>): void {
    const { label, state } = wait.wanted.preferred;
    this.#list.sendAway(wait, new SeatLostError(`${label} is ${state}`));
  }

  [Symbol.dispose](): void {
    this.#timers[Symbol.dispose]();
  }
}

/** The backend as it is now, to the task. */
function candidate(request: GpuRequest, backend: Backend): Candidate {
  const { workflow, graph, avoid, fits } = request;
  return {
    state: backend.state,
    canRun: backend.canRun(graph),
    isUnfit: avoid.includes(backend.label) || (fits !== undefined && !fits(backend)),
    hasRoom: backend.hasRoom,
    idleMs: backend.idleMs,
    runningMs: backend.runningMs,
    isWarm: backend.warm === workflow,
    willBeWarm: backend.holds === workflow,
    expectedMs: backend.runTimes.expectedMs(workflow),
  };
}
