import type { Backend, BackendSlot, Occupant } from '../comfyui/backend.ts';
import { endsSoonerLater } from '../core/ends-sooner.ts';
import { realTempo, type Tempo } from '../core/tempo.ts';
import type { Workflow } from '../core/workflow.ts';

/** The backend in front of which a task waits takes nothing for now, and no other does either. */
export class SeatLostError extends Error {
  override readonly name = 'SeatLostError';
}

/** A task that is ready for a GPU. */
export interface Guest extends Occupant {
  readonly taskId: string;
  readonly graph: Workflow;
  /** Backends where it failed: another is waited for. */
  readonly avoid: readonly string[];
  /** Whether another backend could do with what the task needs, such as a large input. */
  readonly fits?: (backend: Backend) => boolean;
}

interface Waiter {
  readonly guest: Guest;
  readonly preferred: Backend;
  readonly resolve: (slot: BackendSlot) => void;
  readonly reject: (reason: unknown) => void;
}

/** Who takes that much longer than ever is not counted on. */
const overdueFactor = 2;

/**
 * Tasks that are ready and wait for a GPU. A backend that falls idle takes the one that was made
 * ready for it, whose input it has already, or else the one that has waited longest.
 */
export class WaitingRoom implements Disposable {
  readonly #backends: () => Iterable<Backend>;
  readonly #tempo: Tempo['waitingRoom'];
  readonly #waiters: Waiter[] = [];
  readonly #timers = new Set<NodeJS.Timeout>();
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
    const own = this.#waiters.find(({ preferred }) => preferred === backend);
    // It came back without what the task needs.
    if (own && !backend.canRun(own.guest.graph)) this.#sendAway(own);
    const waiter =
      this.#waiters.find(({ preferred }) => preferred === backend) ??
      this.#waiters.find(({ guest }) => this.#mayMove(guest, backend));
    if (!waiter) return false;
    const slot = this.#take(waiter.guest, backend);
    if (slot) {
      this.#leave(waiter);
      waiter.resolve(slot);
    }
    return slot !== null;
  }

  /**
   * A GPU, as soon as there is one: the preferred backend's if it can be chosen.
   *
   * @throws SeatLostError when the preferred backend takes nothing any more and no other is idle.
   */
  async takeGpu(guest: Guest, preferred: Backend, signal: AbortSignal): Promise<BackendSlot> {
    signal.throwIfAborted();
    const slot = this.#take(guest, preferred) ?? this.#takeElsewhere(guest, preferred);
    return slot ?? (await this.#wait(guest, preferred, signal));
  }

  /** The backend takes nothing for now: who waits for it is sent away, unless it is back soon. */
  vacate(backend: Backend): void {
    this.#later(this.#tempo.awayMs, () => {
      if (backend.isInService) return;
      for (const waiter of this.#waiters.filter(({ preferred }) => preferred === backend)) {
        this.#sendAway(waiter);
      }
    });
  }

  #takeElsewhere(guest: Guest, preferred: Backend): BackendSlot | null {
    for (const backend of this.#backends()) {
      if (backend === preferred || !this.#mayMove(guest, backend)) continue;
      const slot = this.#take(guest, backend);
      if (slot) return slot;
    }
    return null;
  }

  #take(guest: Guest, backend: Backend): BackendSlot | null {
    if (backend.state !== 'idle') return null;
    if (this.#isBetterLater(guest, backend)) {
      this.#offerAgain(backend, this.#tempo.reconsiderMs);
      return null;
    }
    return backend.take(guest);
  }

  /** Whether an idle backend may take a task that was made ready for another. */
  #mayMove({ graph, avoid, fits }: Guest, backend: Backend): boolean {
    if (!backend.canRun(graph) || avoid.includes(backend.label)) return false;
    if (fits && !fits(backend)) return false;
    const { beforeSwitchMs } = this.#tempo;
    const isForIt = backend.hasRoom || backend.warm === graph.name;
    if (isForIt || backend.idleMs >= beforeSwitchMs) return true;
    if (backend.state === 'idle') this.#offerAgain(backend, beforeSwitchMs - backend.idleMs);
    return false;
  }

  /**
   * When the queue is empty, the last tasks decide when everything is done: one that a slow backend
   * would take now, or one that has to load its models first, may end sooner where others run.
   */
  #isBetterLater(guest: Guest, backend: Backend): boolean {
    if (this.isMoreToCome) return false;
    const runners = [...this.#backends()].flatMap((other) => {
      if (other === backend || other.state !== 'busy' || !other.canRun(guest.graph)) return [];
      const taskMs = this.#expectedMs(guest, other, other.holds);
      return taskMs === null ? [] : [{ taskMs, freeInMs: freeInMs(other, taskMs) }];
    });
    if (runners.length === 0) return false;
    // Where it never ran it is no faster than elsewhere, and its models are not loaded.
    const elsewhereMs = Math.min(...runners.map(({ taskMs }) => taskMs));
    const hereMs =
      this.#expectedMs(guest, backend, backend.warm) ?? elsewhereMs + this.#tempo.beforeSwitchMs;
    const others = this.#waiters.filter((waiter) => waiter.guest !== guest);
    return endsSoonerLater(hereMs, runners, others.length);
  }

  /**
   * How long the backend takes for the task with these models loaded, milliseconds; `null`: not known.
   * To load others takes at least as long as an idle backend waits before it does so.
   */
  #expectedMs({ workflow }: Guest, { runTimes }: Backend, loaded: string | null): number | null {
    const ms = runTimes.expectedMs(workflow);
    return ms === null || loaded === workflow ? ms : ms + this.#tempo.beforeSwitchMs;
  }

  #offerAgain(backend: Backend, afterMs: number): void {
    if (this.#offeredAgain.has(backend)) return;
    this.#offeredAgain.add(backend);
    this.#later(afterMs, () => {
      this.#offeredAgain.delete(backend);
      if (backend.state === 'idle') this.offer(backend);
    });
  }

  async #wait(guest: Guest, preferred: Backend, signal: AbortSignal): Promise<BackendSlot> {
    const { promise, resolve, reject } = Promise.withResolvers<BackendSlot>();
    const waiter: Waiter = { guest, preferred, resolve, reject };
    this.#waiters.push(waiter);
    if (!preferred.isInService) this.vacate(preferred);
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

  #sendAway(waiter: Waiter): void {
    const { label, state } = waiter.preferred;
    this.#leave(waiter);
    waiter.reject(new SeatLostError(`${label} is ${state}`));
  }

  #leave(waiter: Waiter): void {
    const index = this.#waiters.indexOf(waiter);
    if (index >= 0) this.#waiters.splice(index, 1);
  }

  #later(ms: number, act: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      act();
    }, ms);
    this.#timers.add(timer);
  }

  [Symbol.dispose](): void {
    for (const timer of this.#timers) clearTimeout(timer);
  }
}

function freeInMs({ runningMs }: Backend, taskMs: number): number {
  const ran = runningMs ?? 0;
  return ran > taskMs * overdueFactor ? Number.POSITIVE_INFINITY : Math.max(0, taskMs - ran);
}
