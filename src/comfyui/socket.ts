import { randomUUID } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { WebSocket } from 'ws';
import { backoffMs } from '../core/backoff.ts';
import type { Tempo } from '../core/tempo.ts';
import { pause } from '../timing/pause.ts';
import type { BackendAddress } from './address.ts';
import { type ComfyMessage, parseMessage } from './messages.ts';

interface SocketEventMap {
  open: [clientId: string];
  message: [message: ComfyMessage];
  close: [reason: string];
  /** A connection could not be opened; it is tried again. */
  unreachable: [reason: string];
}

/**
 * One WebSocket to a ComfyUI server, opened again whenever it is lost. Each connection has a
 * `client_id` of its own: a server that still holds the dead socket of a re-used id unregisters the
 * new one when the old one goes, and the new one then hears nothing for ever.
 */
export class ComfySocket extends EventEmitter<SocketEventMap> {
  readonly #address: BackendAddress;
  readonly #tempo: Tempo['socket'];
  #clientId: string | null = null;
  #present: WebSocket | null = null;

  constructor(address: BackendAddress, tempo: Tempo['socket']) {
    super();
    this.#address = address;
    this.#tempo = tempo;
  }

  /** The id of the open connection, or `null` while there is none. */
  get clientId(): string | null {
    return this.#clientId;
  }

  /** Gives the present connection up, at once, for a new one. */
  renew(reason: string): void {
    this.#lost(reason);
    this.#present?.terminate();
  }

  /** Keeps a connection until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      const wasOpen = await this.#connect(signal);
      failures = wasOpen ? 0 : failures + 1;
      // Jitter, or a server's return is greeted by all at once.
      await pause(backoffMs(failures, this.#tempo, Math.random()), signal);
    }
  }

  /** One connection from its opening to its end; tells whether it ever opened. */
  async #connect(signal: AbortSignal): Promise<boolean> {
    const clientId = randomUUID();
    const { origin, prefix, headers, serverName } = this.#address;
    const socket = new WebSocket(
      `${origin.replace(/^http/, 'ws')}${prefix}/ws?clientId=${clientId}`,
      {
        headers,
        ...(serverName ? { servername: serverName } : {}),
        handshakeTimeout: this.#tempo.handshakeDeadlineMs,
        // Compressing costs more than the few bytes are worth, and holds up the message that frees the GPU.
        perMessageDeflate: false,
        maxPayload: 64 * 1024 * 1024,
      },
    );
    this.#present = socket;
    const abort = () => socket.terminate();
    signal.addEventListener('abort', abort, { once: true });
    let reason = 'closed';
    let isOpen = false;
    socket.on('error', (error) => {
      reason = reasonOf(error);
    });
    socket.on('open', () => {
      isOpen = true;
      this.#clientId = clientId;
      this.emit('open', clientId);
    });
    // Binary frames are previews.
    socket.on('message', (data, isBinary) => {
      const message = isBinary ? null : parseMessage(data.toString());
      if (message && this.#clientId === clientId) this.emit('message', message);
    });
    const heartbeat = keepAlive(socket, this.#tempo.pingEveryMs);
    // An 'error' comes before the 'close' of a connection that failed; only the latter is the end.
    await new Promise<void>((resolve) => socket.once('close', () => resolve()));
    clearInterval(heartbeat);
    signal.removeEventListener('abort', abort);
    if (isOpen) this.#lost(reason);
    else if (!signal.aborted) this.emit('unreachable', reason);
    return isOpen;
  }

  #lost(reason: string): void {
    if (this.#clientId === null) return;
    this.#clientId = null;
    this.emit('close', reason);
  }
}

/** Where a name has several addresses, what went wrong with each is inside, and the message empty. */
function reasonOf(error: Error): string {
  const [first] = error instanceof AggregateError ? error.errors : [];
  return error.message || first?.message || 'no connection';
}

/** The server sends no heartbeat of its own, but answers pings. */
function keepAlive(socket: WebSocket, pingEveryMs: number): NodeJS.Timeout {
  let answered = true;
  socket.on('pong', () => {
    answered = true;
  });
  return setInterval(() => {
    if (socket.readyState !== WebSocket.OPEN) return;
    if (!answered) return socket.terminate();
    answered = false;
    socket.ping();
  }, pingEveryMs);
}
