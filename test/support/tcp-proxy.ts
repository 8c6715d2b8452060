import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** How a connection ends: in order, or with a reset. */
export const cuts = ['fin', 'rst'] as const;
export type Cut = (typeof cuts)[number];

/** How much slower everything passes, both ways. */
export interface Slowness {
  readonly latencyMs: number;
  readonly bytesPerSecond: number;
}

export interface TcpProxyOptions {
  /** Decides where a message is cut; from 0 to 1. */
  readonly random?: () => number;
}

interface Link {
  readonly client: Socket;
  readonly server: Socket;
  isFrozen: boolean;
  /** One side has ended it, and the other was not told. */
  isLeft: boolean;
}

/** A TCP proxy that cuts connections, slows them, or lets them stand open and passes nothing on. */
export class TcpProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #random: () => number;
  readonly #links = new Set<Link>();
  #armed: Cut | null = null;
  #slowness: Slowness | null = null;
  #isShut = false;

  private constructor(server: Server, random: () => number) {
    this.#server = server;
    this.#random = random;
  }

  static async start(
    host: string,
    port: number,
    { random = Math.random }: TcpProxyOptions = {},
  ): Promise<TcpProxy> {
    const server = createServer({ noDelay: true, allowHalfOpen: true }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const proxy = new TcpProxy(server, random);
    server.on('connection', (client) => {
      if (proxy.#isShut) return reset(client);
      const server = connect({ port, host, noDelay: true, allowHalfOpen: true });
      proxy.#join({ client, server, isFrozen: false, isLeft: false });
    });
    return proxy;
  }

  /** A proxy in front of the server at this address, a database where it names no port. */
  static async before(url: string, options: TcpProxyOptions = {}): Promise<TcpProxy> {
    const { hostname, port } = new URL(url);
    return await TcpProxy.start(hostname, Number(port || 5432), options);
  }

  /** The same address, by way of the proxy. */
  through(url: string): string {
    const here = new URL(url);
    here.host = `127.0.0.1:${this.port}`;
    return here.href;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Connections that neither side has ended. */
  get size(): number {
    return [...this.#links].filter(({ isLeft }) => !isLeft).length;
  }

  /** Whether a cut waits for its moment. */
  get isArmed(): boolean {
    return this.#armed !== null;
  }

  /** Ends every connection now. */
  cut(how: Cut): void {
    for (const link of this.#links) end(link, how);
  }

  /** Ends the connection that is used next, in the middle of what passes. */
  cutNext(how: Cut): void {
    this.#armed = how;
  }

  /** No cut waits for its moment any more. */
  disarm(): void {
    this.#armed = null;
  }

  /** Ends every connection, and all that come until it is opened again. */
  shut(): void {
    this.#isShut = true;
    this.cut('rst');
  }

  open(): void {
    this.#isShut = false;
  }

  /** Every connection stays open and passes nothing on; new ones work. */
  freeze(): void {
    for (const link of this.#links) link.isFrozen = true;
  }

  /** What passes from now on is slowed; `null`: nothing is any more. */
  slow(slowness: Slowness | null): void {
    this.#slowness = slowness;
  }

  #join(link: Link): void {
    this.#links.add(link);
    const { client, server } = link;
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      from.on('data', (bytes) => this.#pass(link, from, to, bytes));
      from.on('end', () => {
        if (link.isFrozen) link.isLeft = true;
        else to.end();
      });
      from.on('error', () => {});
      from.on('close', () => {
        this.#links.delete(link);
        to.destroySoon();
      });
    }
  }

  #pass(link: Link, from: Socket, to: Socket, bytes: Buffer): void {
    if (this.#slowness) {
      const { latencyMs, bytesPerSecond } = this.#slowness;
      from.pause();
      setTimeout(
        () => {
          from.resume();
          this.#forward(link, to, bytes);
        },
        latencyMs + (bytes.length / bytesPerSecond) * 1_000,
      );
    } else {
      this.#forward(link, to, bytes);
    }
  }

  #forward(link: Link, to: Socket, bytes: Buffer): void {
    if (link.isFrozen || to.destroyed) return;
    const cut = this.#armed;
    this.#armed = null;
    to.write(cut ? bytes.subarray(0, Math.floor(this.#random() * (bytes.length + 1))) : bytes);
    if (cut) end(link, cut);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.cut('rst');
    await closed;
  }
}

function end({ client, server }: Link, how: Cut): void {
  if (how === 'fin') client.end();
  else reset(client);
  server.destroy();
}

/** Node loses a socket that is reset while its end is under way: findings/node-loses-a-reset-socket.sh. */
export function reset(socket: Socket): void {
  if (socket.writableEnded && !socket.writableFinished) socket.destroy();
  else socket.resetAndDestroy();
}
