import type { Logger } from '../telemetry/logger.ts';
import type { BackendAddress } from './address.ts';
import { Backend, type BackendState } from './backend.ts';
import { Seat, WaitingRoom } from './seat.ts';

export interface BackendView {
  readonly address: string;
  readonly state: BackendState;
  readonly lastActiveAt: Date | null;
  readonly version: string | null;
}

/** All ComfyUI servers that this gateway works with. */
export class Pool implements AsyncDisposable {
  readonly #backends: ReadonlyMap<string, Backend>;
  readonly #room = new WaitingRoom(() => this.#idle());

  constructor(addresses: readonly BackendAddress[], logger: Logger) {
    this.#backends = new Map(
      addresses.map((address) => [address.label, new Backend(address, logger)]),
    );
  }

  /** Connects to all of them; `onRoom` is called whenever a task could be made ready for one. */
  start(onRoom: () => void): void {
    for (const backend of this.#backends.values()) {
      backend.on('idle', () => {
        if (!this.#room.offer(backend)) onRoom();
      });
      backend.on('room', onRoom);
      backend.start();
    }
  }

  get ids(): string[] {
    return [...this.#backends.keys()];
  }

  get(id: string): Backend | null {
    return this.#backends.get(id) ?? null;
  }

  /** Those for which a task may be made ready: idle ones first, the longest idle before the others. */
  withRoom(): Backend[] {
    return [...this.#backends.values()]
      .filter((backend) => backend.hasRoom)
      .sort((a, b) => rank(a) - rank(b) || heardOf(a) - heardOf(b));
  }

  /** A place in front of the backend, or `null` when it is taken by now. */
  seatBefore(backend: Backend): Seat | null {
    return Seat.before(backend, this.#room);
  }

  /** A seat for a prompt that is on the backend already. */
  seatAt(backend: Backend): Seat {
    return Seat.at(backend, this.#room);
  }

  #idle(): Backend | null {
    return [...this.#backends.values()].find(({ state }) => state === 'idle') ?? null;
  }

  view(): BackendView[] {
    return [...this.#backends.values()].map(({ id, state, lastActiveAt, version }) => ({
      address: id,
      state,
      lastActiveAt,
      version,
    }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(
      [...this.#backends.values()].map((backend) => backend[Symbol.asyncDispose]()),
    );
  }
}

function rank({ state }: Backend): number {
  return state === 'idle' ? 0 : 1;
}

function heardOf({ lastActiveAt }: Backend): number {
  return lastActiveAt?.getTime() ?? 0;
}
