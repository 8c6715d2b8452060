import { EventEmitter } from 'node:events';
import type { Logger } from '../telemetry/logger.ts';
import type { BackendAddress } from './address.ts';
import { ComfyClient } from './client.ts';
import type { ComfyMessage } from './messages.ts';
import { ComfySocket } from './socket.ts';

/**
 * `offline`: no WebSocket, so nothing new is given to it (a prompt that runs there is followed over
 * HTTP all the same). `idle`: it may take a task. `busy`: one of our tasks has its slot.
 */
export const backendStates = ['offline', 'idle', 'busy'] as const;
export type BackendState = (typeof backendStates)[number];

interface BackendEventMap {
  /** Its GPU fell idle. */
  idle: [];
  /** A task may be made ready for it. */
  room: [];
  message: [message: ComfyMessage];
  /** The WebSocket was lost or came back: what it said may be incomplete. */
  reconnected: [];
}

/** The right to run one prompt on a backend. */
export interface BackendSlot extends Disposable {
  readonly backend: Backend;
  /** Gives the GPU to the next task. Once is enough; more does nothing. */
  release(): void;
}

/** One ComfyUI server: its HTTP client, its WebSocket and the state that follows from both. */
export class Backend extends EventEmitter<BackendEventMap> implements AsyncDisposable {
  readonly address: BackendAddress;
  readonly client: ComfyClient;
  readonly #socket: ComfySocket;
  readonly #logger: Logger;
  readonly #stop = new AbortController();
  #running: Promise<void> | null = null;
  /** How many of our tasks have a prompt here: one, or more while prompts are adopted. */
  #occupants = 0;
  #isPlaceTaken = false;
  #state: BackendState = 'offline';
  #lastActiveAt: Date | null = null;
  #version: string | null = null;

  constructor(address: BackendAddress, logger: Logger) {
    super();
    // One listener for each prompt that is followed here, and the pool's.
    this.setMaxListeners(50);
    this.address = address;
    this.client = new ComfyClient(address);
    this.#logger = logger.child({ backend: address.label });
    this.#socket = new ComfySocket(address);
    this.#socket.on('open', () => this.#opened());
    this.#socket.on('close', (reason) => this.#settle(`WebSocket lost: ${reason}`));
    this.#socket.on('message', (message) => {
      this.#lastActiveAt = new Date();
      this.emit('message', message);
    });
  }

  /** Its address without credentials: the same in the database, the log and the API. */
  get id(): string {
    return this.address.label;
  }

  get state(): BackendState {
    return this.#state;
  }

  /** When it was last heard of. */
  get lastActiveAt(): Date | null {
    return this.#lastActiveAt;
  }

  get version(): string | null {
    return this.#version;
  }

  /**
   * The id under which a prompt is submitted now, so that its messages come to us. While there is no
   * WebSocket it is any other: such a prompt is followed over HTTP.
   */
  get clientId(): string {
    return this.#socket.clientId ?? 'tmlsr';
  }

  start(): void {
    this.#running ??= this.#socket.run(this.#stop.signal);
  }

  /** Whether another task may be made ready for it: one at a time, and only while it is there. */
  get hasRoom(): boolean {
    return this.#state !== 'offline' && !this.#isPlaceTaken;
  }

  /** Takes the place in front of the GPU, or `null` when there is none. */
  reservePlace(): Disposable | null {
    if (!this.hasRoom) return null;
    this.#isPlaceTaken = true;
    return {
      [Symbol.dispose]: () => {
        this.#isPlaceTaken = false;
        this.emit('room');
      },
    };
  }

  /** Takes the slot, or `null` when the backend is not idle. */
  take(): BackendSlot | null {
    return this.#state === 'idle' ? this.#occupy('taken') : null;
  }

  /** Takes a slot for a prompt that is there already, whatever else is, reachable or not. */
  takeForAdoption(): BackendSlot {
    return this.#occupy('a prompt is adopted');
  }

  #occupy(reason: string): BackendSlot {
    this.#occupants += 1;
    this.#settle(reason);
    let held = true;
    const release = () => {
      if (!held) return;
      held = false;
      this.#occupants -= 1;
      this.#settle('released');
    };
    return { backend: this, release, [Symbol.dispose]: release };
  }

  #opened(): void {
    this.#lastActiveAt = new Date();
    this.#settle('WebSocket open');
    this.emit('reconnected');
    void this.#readVersion();
  }

  async #readVersion(): Promise<void> {
    try {
      this.#version = await this.client.version(this.#stop.signal);
      this.#logger.info({ version: this.#version }, 'backend.identified');
    } catch (error) {
      this.#logger.debug({ err: error }, 'backend.unidentified');
    }
  }

  /** The one place where the state changes: it follows from the slot and the socket. */
  #settle(reason: string): void {
    const connected = this.#socket.clientId !== null;
    const next = this.#occupants > 0 ? 'busy' : connected ? 'idle' : 'offline';
    if (next === this.#state) return;
    const previous = this.#state;
    this.#state = next;
    const level = next === 'offline' || previous === 'offline' ? 'info' : 'debug';
    this.#logger[level]({ from: previous, to: next, reason }, 'backend.state');
    if (next === 'idle') this.emit('idle');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
    await this.client[Symbol.asyncDispose]();
  }
}
