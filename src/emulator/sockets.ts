/** The WebSocket side: who is connected under which id, and who hears what. */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type RawData, WebSocket, WebSocketServer } from 'ws';
import type { Faults } from './faults.ts';

export interface SocketsOptions {
  readonly faults: Faults;
  readonly features: Readonly<Record<string, unknown>>;
  readonly queueRemaining: () => number;
}

export class Sockets {
  readonly #options: SocketsOptions;
  readonly #server = new WebSocketServer({ noServer: true, perMessageDeflate: false });
  readonly #bySid = new Map<string, WebSocket>();
  readonly #deaf = new Set<WebSocket>();
  /** Whose prompt is running: its messages go to the socket under this id, if there is one. */
  clientId: string | null = null;
  /** The node that is running, for a client that comes back in the middle. */
  lastNodeId: string | null = null;

  constructor(options: SocketsOptions) {
    this.#options = options;
  }

  accept(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.#server.handleUpgrade(request, socket, head, (client) => {
      const { searchParams } = new URL(request.url ?? '/', 'http://localhost');
      this.#open(client, searchParams.get('clientId') || crypto.randomUUID().replaceAll('-', ''));
    });
  }

  /** To the owner of the running prompt only. */
  toOwner(type: string, data: object): void {
    if (this.clientId !== null) this.#send(this.#bySid.get(this.clientId), type, data);
  }

  /** To the owner of the running prompt, or to everyone where it has none. */
  toOwnerOrAll(type: string, data: object): void {
    if (this.clientId !== null) this.toOwner(type, data);
    else this.#toAll(type, data);
  }

  broadcastStatus(): void {
    this.#toAll('status', { status: this.#status() });
  }

  /** Ends every connection as a dying process does: no close frame. */
  drop(): void {
    for (const client of this.#server.clients) client.terminate();
  }

  /** Whoever is connected now stays so, and hears nothing any more. */
  deafen(): void {
    for (const client of this.#server.clients) this.#deaf.add(client);
  }

  undeafen(): void {
    this.#deaf.clear();
  }

  #open(client: WebSocket, sid: string): void {
    this.#bySid.set(sid, client);
    // Whoever leaves takes the id along, even when a newer socket stands under it by now: that one
    // then stays open and hears nothing any more. ComfyUI does so, and clients have to know.
    client.on('close', () => {
      this.#bySid.delete(sid);
      this.#deaf.delete(client);
    });
    client.on('error', () => {});
    // Only the first message that is an object counts; lists and junk before it do not.
    const greet = (data: RawData, isBinary: boolean) => {
      const type = isBinary ? null : typeOf(data);
      if (type === null) return;
      client.off('message', greet);
      if (type === 'feature_flags') this.#send(client, type, this.#options.features);
    };
    client.on('message', greet);
    this.#send(client, 'status', { status: this.#status(), sid });
    if (this.clientId === sid && this.lastNodeId !== null) {
      this.#send(client, 'executing', { node: this.lastNodeId });
    }
  }

  #status(): object {
    return { exec_info: { queue_remaining: this.#options.queueRemaining() } };
  }

  #toAll(type: string, data: object): void {
    for (const client of this.#bySid.values()) this.#send(client, type, data);
  }

  #send(client: WebSocket | undefined, type: string, data: object): void {
    if (client?.readyState !== WebSocket.OPEN) return;
    const { isMuted, messagesMs } = this.#options.faults;
    if (isMuted || this.#deaf.has(client)) return;
    const text = JSON.stringify({ type, data });
    // One that has closed meanwhile hears nothing.
    if (messagesMs > 0) setTimeout(() => client.send(text, () => {}), messagesMs);
    else client.send(text);
  }
}

/** The `type` of a JSON object, and `null` of anything else. */
function typeOf(data: RawData): string | null {
  try {
    const message = JSON.parse(data.toString());
    if (typeof message !== 'object' || message === null || Array.isArray(message)) return null;
    return String(message.type);
  } catch {
    return null;
  }
}
