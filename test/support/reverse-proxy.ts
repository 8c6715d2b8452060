import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { reset } from './tcp-proxy.ts';

/** What it was asked for, in order. */
export interface ProxiedRequest {
  readonly method: string;
  readonly path: string;
  readonly authorization: string | null;
}

interface CannedAnswer {
  readonly status: number;
  readonly json: string;
}

/** Stands in front of a server, as nginx does, and may answer some paths by itself or from another one. */
export class ReverseProxy implements AsyncDisposable {
  readonly requests: ProxiedRequest[] = [];
  readonly #server: Server;
  readonly #target: URL;
  readonly #elsewhere = new Map<string, URL>();
  readonly #canned = new Map<string, CannedAnswer>();
  readonly #sockets = new Set<Socket>();
  #maxBodyBytes = Number.POSITIVE_INFINITY;
  /** With what it answers who asks for a WebSocket; `null`: it passes that on. */
  #upgradeStatus: number | null = null;

  private constructor(server: Server, target: URL) {
    this.#server = server;
    this.#target = target;
  }

  static async start(target: string): Promise<ReverseProxy> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const proxy = new ReverseProxy(server, new URL(target));
    server.on('request', (incoming, response) => {
      const { hostname, port } = proxy.#targetOf(incoming);
      const { method, url: path = '', headers } = incoming;
      if (Number(headers['content-length'] ?? 0) > proxy.#maxBodyBytes) {
        // As nginx does: it answers at once, and reads on for a while.
        incoming.resume();
        const page = '<html><head><title>413 Request Entity Too Large</title></head></html>';
        response.writeHead(413, { 'content-type': 'text/html', connection: 'close' }).end(page);
        return;
      }
      const canned = proxy.#canned.get(path);
      if (canned) {
        incoming.resume();
        response.writeHead(canned.status, { 'content-type': 'application/json' }).end(canned.json);
        return;
      }
      const outgoing = request({ hostname, port, method, path, headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      });
      outgoing.on('error', () => response.destroy());
      incoming.pipe(outgoing);
    });
    server.on('upgrade', (incoming: IncomingMessage, client: Socket) => {
      if (proxy.#upgradeStatus !== null) {
        client.end(`HTTP/1.1 ${proxy.#upgradeStatus} No\r\ncontent-length: 0\r\n\r\n`);
        return;
      }
      const { hostname, port } = proxy.#targetOf(incoming);
      const backend = connect(Number(port), hostname);
      const lines = incoming.rawHeaders.flatMap((name, i, all) =>
        i % 2 === 0 ? [`${name}: ${all[i + 1]}`] : [],
      );
      backend.write(`GET ${incoming.url} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`);
      proxy.#sockets.add(client);
      for (const [one, other] of [
        [client, backend],
        [backend, client],
      ] as const) {
        one.pipe(other);
        one.on('error', () => {}).on('close', () => other.destroy());
      }
    });
    return proxy;
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get url(): string {
    return `http://${this.host}`;
  }

  /** Answers the path as another server would. */
  answerFrom(path: string, target: string): void {
    this.#canned.delete(path);
    this.#elsewhere.set(path, new URL(target));
  }

  /** Answers the path with this from now on. */
  answerWith(path: string, status: number, body: unknown): void {
    this.#canned.set(path, { status, json: JSON.stringify(body) });
  }

  /** As `client_max_body_size` of nginx. */
  limitBodies(bytes: number): void {
    this.#maxBodyBytes = bytes;
  }

  /** Answers whoever asks for a WebSocket with this status, or passes that on again. */
  refuseUpgrades(status: number | null): void {
    this.#upgradeStatus = status;
  }

  /** Every WebSocket ends without a close frame; HTTP goes on. */
  dropSockets(): void {
    for (const socket of this.#sockets) reset(socket);
    this.#sockets.clear();
  }

  #targetOf({ method = '', url: path = '', headers }: IncomingMessage): URL {
    this.requests.push({ method, path, authorization: headers.authorization ?? null });
    return this.#elsewhere.get(path) ?? this.#target;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    this.dropSockets();
    await closed;
  }
}
