import postgres from 'postgres';
import type { Tempo } from '../core/tempo.ts';
import type { DriverOptions } from './driver-options.ts';

export interface ListenerOptions {
  readonly driver: DriverOptions;
  readonly waits: Pick<
    Tempo['database'],
    'listenCheckEveryMs' | 'reconnectPauseMs' | 'closeDeadlineMs'
  >;
  readonly channel: string;
  readonly onMessage: (payload: string) => void;
  /** Called for each new session: what was sent before it began may have been missed. */
  readonly onListening: () => void;
}

/**
 * Listens to a channel on a connection of its own, for as long as the gateway runs. LISTEN is repeated
 * now and then. That changes nothing on a session that listens, and finds a connection that is half-open,
 * which would be silent for ever.
 */
export class Listener implements AsyncDisposable {
  readonly #options: ListenerOptions;
  readonly #client: postgres.Sql;
  #session: string | null = null;
  #timer: NodeJS.Timeout | null = null;
  #isStopped = false;

  private constructor(options: ListenerOptions) {
    this.#options = options;
    this.#client = postgres({
      ...options.driver,
      max: 1,
      max_lifetime: null,
      onnotify: (_, payload) => options.onMessage(payload),
      onclose: () => this.#checkIn(0),
    });
  }

  /** Resolves when it listens. */
  static async start(options: ListenerOptions): Promise<Listener> {
    const listener = new Listener(options);
    try {
      await listener.#listen();
      return listener;
    } catch (error) {
      await listener[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #listen(): Promise<void> {
    const { channel, waits, onListening } = this.#options;
    const { state } = await this.#client.unsafe(`listen "${channel}"`);
    const session = `${state.pid} ${state.secret}`;
    if (session !== this.#session) onListening();
    this.#session = session;
    this.#checkIn(waits.listenCheckEveryMs);
  }

  #checkIn(ms: number): void {
    if (this.#timer) clearTimeout(this.#timer);
    // Until it has listened once, whoever starts it hears of failures.
    if (this.#isStopped || this.#session === null) return;
    const again = () => this.#checkIn(this.#options.waits.reconnectPauseMs);
    this.#timer = setTimeout(() => void this.#listen().catch(again), ms);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopped = true;
    this.#checkIn(0);
    await this.#client.end({ timeout: this.#options.waits.closeDeadlineMs / 1_000 });
  }
}
