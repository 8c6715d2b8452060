import { randomUUID } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { WebSocket } from 'ws';
import { backoffMs } from '../core/backoff.ts';
import type { Tempo } from '../core/tempo.ts';
import { pause } from '../timing/pause.ts';
import type { BackendAddress } from './address.ts';
import { FloodGate } from './flood-gate.ts';
import { type ComfyMessage, parseMessage } from './messages.ts';

/** Larger than previews are, and than what is said of any graph. */
const maxMessageBytes = 8 * 1024 * 1024;

interface SocketEventMap {
  open: [clientId: string];
  message: [message: ComfyMessage];
  close: [reason: string];
  /** It is given up for a new one, though nothing says that the server is gone. */
  renewing: [];
  /** A ping has no answer when the next one is due. */
  unanswered: [];
  /** A connection could not be opened; it is tried again. */
  unreachable: [reason: string];
  /** Something answered, but not with a WebSocket; it is tried again. */
  refused: [reason: string];
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
  #isPingOut = false;

  constructor(address: BackendAddress, tempo: Tempo['socket']) {
    super();
    this.#address = address;
    this.#tempo = tempo;
  }

  /** The id of the open connection, or `null` while there is none. */
  get clientId(): string | null {
    return this.#clientId;
  }

  /** Whether a ping has no answer yet. */
  get isUnanswered(): boolean {
    return this.#isPingOut;
  }

  /** Gives the present connection up for a new one: the server is there, the connection is of no use. */
  renew(): void {
    if (this.#clientId === null) return;
    this.#clientId = null;
    this.emit('renewing');
    this.#present?.terminate();
  }

  /** Gives the present connection up, and the server with it until it is reached again. */
  drop(reason: string): void {
    this.#lost(reason);
    this.#present?.terminate();
  }

  /** Keeps a connection until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      const openMs = await this.#connect(signal);
      // A server that hangs up at once is no better than one that is away.
      failures = openMs < this.#tempo.steadyAfterMs ? failures + 1 : 0;
      // Jitter, or a server's return is greeted by all at once.
      await pause(backoffMs(failures, this.#tempo, Math.random()), signal);
    }
  }

  /** One connection from its opening to its end; tells for how long it was open, milliseconds. */
  async #connect(signal: AbortSignal): Promise<number> {
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
        maxPayload: maxMessageBytes,
      },
    );
    this.#present = socket;
    const abort = () => socket.terminate();
    signal.addEventListener('abort', abort, { once: true });
    let reason = 'closed';
    let openedAt: number | null = null;
    socket.on('error', (error) => {
      reason = reasonOf(error);
    });
    socket.on('open', () => {
      openedAt = performance.now();
      this.#clientId = clientId;
      this.emit('open', clientId);
    });
    const flood = new FloodGate(socket, this.#tempo.floodWindowMs);
    // Binary frames are previews.
    socket.on('message', (data, isBinary) => {
      flood.passed((data as Buffer).length);
      const message = isBinary ? null : parseMessage(data.toString());
      if (message && this.#clientId === clientId) this.emit('message', message);
    });
    const heartbeat = this.#keepAlive(socket);
    // An 'error' comes before the 'close' of a connection that failed; only the latter is the end.
    await new Promise<void>((resolve) => socket.once('close', () => resolve()));
    clearInterval(heartbeat);
    flood.close();
    signal.removeEventListener('abort', abort);
    if (openedAt !== null) {
      this.#lost(reason);
      return performance.now() - openedAt;
    }
    if (signal.aborted) return 0;
    const refusal = refusalIn(reason);
    if (refusal === null) this.emit('unreachable', reason);
    else this.emit('refused', refusal);
    return 0;
  }

  /** The server sends no heartbeat of its own, but answers pings. */
  #keepAlive(socket: WebSocket): NodeJS.Timeout {
    this.#isPingOut = false;
    socket.on('pong', () => {
      this.#isPingOut = false;
    });
    return setInterval(() => {
      if (socket.readyState !== WebSocket.OPEN) return;
      if (this.#isPingOut) return void this.emit('unanswered');
      this.#isPingOut = true;
      socket.ping();
    }, this.#tempo.pingEveryMs);
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

/**
 * What it means that HTTP was answered where a WebSocket was asked for, by the words of the library; `null`
 * for anything else. That a server behind it is away, a proxy says with a 5xx.
 */
function refusalIn(reason: string): string | null {
  const [, status] = /^Unexpected server response: ([1-4]\d\d)$/.exec(reason) ?? [];
  if (status === undefined && !/^Invalid (Upgrade|Sec-WebSocket-Accept) header$/.test(reason)) {
    return null;
  }
  const how = status === undefined ? '' : ` (status ${status})`;
  return status === '401'
    ? `its WebSocket is refused${how}: the address needs a user and a password`
    : `its WebSocket is refused${how}: something in front of it does not pass on the upgrade of /ws`;
}
