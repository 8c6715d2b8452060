import type { BackendAddress } from '../comfyui/address.ts';
import { Backend, type BackendTempo } from '../comfyui/backend.ts';
import { LongAnswers } from '../comfyui/long-answers.ts';
import type { Occupant } from '../comfyui/occupancy.ts';
import { mayTakePlace } from '../core/fair-places.ts';
import { mergeCatalogues, type NodeCatalogue } from '../core/node-catalogue.ts';
import type { Tempo } from '../core/tempo.ts';
import type { Logger } from '../telemetry/logger.ts';
import { Arrivals } from './arrivals.ts';
import { Seat } from './seat.ts';
import { type GpuRequest, WaitingRoom } from './waiting-room.ts';

/** What a pool tells of its backends. */
export interface PoolListener {
  /** A task may be claimed for one. */
  onRoom(): void;
  /** Something that the report of one tells has changed. */
  onChanged(label: string): void;
  /** They have other nodes between them than before. */
  onNodes(): void;
}

const nobody: PoolListener = { onRoom() {}, onChanged() {}, onNodes() {} };

type PoolTempo = BackendTempo & Pick<Tempo, 'waitingRoom'>;

/** The ComfyUI servers that this gateway drives. */
export class Pool implements AsyncDisposable {
  readonly #logger: Logger;
  readonly #tempo: PoolTempo;
  readonly #backends = new Map<string, Backend>();
  /** Let go of, and not yet vacant. */
  readonly #leaving = new Map<string, Backend>();
  readonly #arrivals: Arrivals;
  readonly #room: WaitingRoom;
  readonly #longAnswers: LongAnswers;
  #listener = nobody;
  /** `null` when it has to be put together anew. */
  #catalogue: NodeCatalogue | null = null;

  constructor(logger: Logger, tempo: PoolTempo) {
    this.#logger = logger;
    this.#tempo = tempo;
    this.#longAnswers = new LongAnswers(tempo.comfyui.longAnswerDeadlineMs);
    const backends = () => this.#backends.values();
    this.#arrivals = new Arrivals(backends, () => this.#arrived(), tempo.waitingRoom);
    this.#room = new WaitingRoom(backends, tempo.waitingRoom);
  }

  /** Whom it tells, from now on: those who listen are made of the pool, and so after it. */
  listen(listener: PoolListener): void {
    this.#listener = listener;
  }

  /** The nodes that its backends have between them; `null` while none was reached. */
  get catalogue(): NodeCatalogue | null {
    const catalogues = this.backends.flatMap(({ catalogue }) => catalogue ?? []);
    if (catalogues.length === 0) return null;
    this.#catalogue ??= mergeCatalogues(catalogues);
    return this.#catalogue;
  }

  /** Begins to drive a backend. */
  add(address: BackendAddress): Backend {
    const present = this.get(address.label);
    if (present) {
      this.#leaving.delete(address.label);
      this.#backends.set(address.label, present);
      this.#catalogue = null;
      return present;
    }
    const backend = new Backend(address, this.#logger, this.#tempo, this.#longAnswers);
    this.#backends.set(backend.label, backend);
    backend.on('idle', () => {
      if (!this.#room.offer(backend)) this.#offerSeat(backend);
    });
    backend.on('room', () => this.#offerSeat(backend));
    backend.on('unavailable', () => {
      this.#arrivals.vacate();
      this.#room.vacate(backend);
    });
    backend.on('changed', () => this.#listener.onChanged(backend.label));
    backend.on('catalogue', () => {
      this.#catalogue = null;
      this.#listener.onNodes();
    });
    backend.start();
    return backend;
  }

  /**
   * Gives a backend no more work, that of its own which waits for it included; when it is vacant it is
   * let go of, and `true` is returned.
   */
  async remove(label: string): Promise<boolean> {
    const backend = this.get(label);
    if (!backend) return true;
    this.#backends.delete(label);
    this.#leaving.set(label, backend);
    this.#catalogue = null;
    // It would go on with whatever waits for a GPU, and never be vacant.
    backend.drain(true, 'it leaves the pool');
    if (!backend.isVacant) return false;
    this.#leaving.delete(label);
    await backend[Symbol.asyncDispose]();
    return true;
  }

  get backends(): Backend[] {
    return [...this.#backends.values()];
  }

  get labels(): string[] {
    return [...this.#backends.keys()];
  }

  /** With those that it is about to let go of. */
  get allLabels(): string[] {
    return [...this.#backends.keys(), ...this.#leaving.keys()];
  }

  get(label: string): Backend | null {
    return this.#backends.get(label) ?? this.#leaving.get(label) ?? null;
  }

  /** Those for which a task may be claimed: idle ones first, the longest idle before the others. */
  withRoom(): Backend[] {
    return this.backends
      .filter((backend) => backend.hasRoom || this.#isContended(backend))
      .sort((a, b) => b.idleMs - a.idleMs);
  }

  /**
   * Whether one more task of the line may be claimed for a backend that has room. `downloads`: so many
   * tasks in all may be on their way to a seat, beside one for each backend. A tenant whose tasks have no
   * part in a queue for a seat may always have one there: it is to find its turn as soon as any other.
   */
  mayClaim(
    backend: Backend,
    line: { readonly workflow: string; readonly tenant: string },
    downloads: number,
  ): boolean {
    const { tenant } = line;
    if (this.#arrivals.areKeptOff(backend, line)) return false;
    const own = this.#arrivals.countOf(tenant);
    if (!backend.hasRoom && own > 0) return false;
    return mayTakePlace(own, this.#arrivals.size, this.#backends.size + downloads);
  }

  /** Whether the queue holds tasks beyond those that were claimed. */
  expect(isMoreToCome: boolean): void {
    this.#room.isMoreToCome = isMoreToCome;
  }

  /** What a task has of the backend that it was claimed for; `null` when that takes none any more. */
  seatFor(backend: Backend, request: GpuRequest): Seat | null {
    if (!backend.isInService) return null;
    const arrival = this.#arrivals.expect(backend, request);
    return Seat.for(backend, { arrival, room: this.#room, request });
  }

  /** A seat at the GPU for a prompt that is on the backend already. */
  seatAt(backend: Backend, occupant: Occupant): Seat {
    return Seat.at(backend, occupant);
  }

  /** The seat that is free goes to who is ready, or else to a task that is claimed for it. */
  #offerSeat(backend: Backend): void {
    if (!this.#arrivals.offer(backend)) this.#listener.onRoom();
  }

  /** Whether its seat is taken, and more who were claimed for it are ready and wait. */
  #isContended(backend: Backend): boolean {
    return backend.isInService && this.#arrivals.isWaitedFor(backend);
  }

  /** Those of the queue may have been held back until now. */
  #arrived(): void {
    if (this.#room.isMoreToCome) this.#listener.onRoom();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#arrivals[Symbol.dispose]();
    this.#room[Symbol.dispose]();
    const all = [...this.#backends.values(), ...this.#leaving.values()];
    await Promise.all(all.map((backend) => backend[Symbol.asyncDispose]()));
  }
}
