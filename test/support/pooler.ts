import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

type PoolMode = 'session' | 'transaction';

/** What a client may ask for in its startup message. PgBouncer refuses all else. */
const startupParameters = [
  ...['user', 'database', 'application_name', 'client_encoding'],
  ...['DateStyle', 'TimeZone', 'standard_conforming_strings'],
];
const sslRequest = 80_877_103;
const cancelRequest = 80_877_102;

/** A connection to the database. */
interface Back {
  readonly socket: Socket;
  client: Front | null;
  /** Answers that are still due. */
  due: number;
  /** Messages went out that no Sync has followed. */
  isOpen: boolean;
}

/** A connection of a client. */
interface Front {
  readonly socket: Socket;
  back: Back | null;
}

/**
 * A pooler as PgBouncer 1.18 is with its defaults, in what a gateway meets of it, and compared with the
 * real one: which startup parameters it refuses and how, a cancel key of its own, states of the server that
 * it reports from memory, and, in transaction mode, connections that go to whoever comes next between two
 * transactions, with what is prepared, locked and listened to. It trusts everybody.
 */
export class Pooler implements AsyncDisposable {
  readonly #server: Server;
  readonly #target: URL;
  readonly #mode: PoolMode;
  readonly #sockets = new Set<Socket>();
  /** The last one that was given back is the first to be taken. */
  readonly #idle: Back[] = [];
  #parameters = Buffer.alloc(0);

  private constructor(server: Server, target: URL, mode: PoolMode) {
    this.#server = server;
    this.#target = target;
    this.#mode = mode;
  }

  static async start(target: string, mode: PoolMode): Promise<Pooler> {
    const server = createServer({ noDelay: true }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const pooler = new Pooler(server, new URL(target), mode);
    server.on('connection', (socket) => {
      pooler.#sockets.add(socket);
      void pooler.#serve({ socket, back: null }).finally(() => socket.destroySoon());
    });
    return pooler;
  }

  get url(): string {
    const here = new URL(this.#target);
    here.host = `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
    return here.href;
  }

  async #serve(front: Front): Promise<void> {
    const { socket } = front;
    for await (const message of messagesOf(socket, isStartup)) {
      if (isStartup(message)) {
        if (!(await this.#welcome(socket, message))) return;
      } else if (message[0] === code('X')) {
        break;
      } else {
        front.back ??= await this.#take(front);
        const { back } = front;
        const isEnd = message[0] === code('Q') || message[0] === code('S');
        if (isEnd) back.due++;
        back.isOpen = !isEnd;
        back.socket.write(message);
      }
    }
    // PgBouncer would empty the session and keep the connection.
    front.back?.socket.destroy();
  }

  /** Whether the client may go on. */
  async #welcome(socket: Socket, message: Buffer): Promise<boolean> {
    const kind = message.readInt32BE(4);
    if (kind === sslRequest) {
      socket.write('N');
      return true;
    }
    if (kind === cancelRequest) return false;
    const pairs = message.toString('utf8', 8).split('\0');
    const unknown = pairs.filter((name, i) => i % 2 === 0 && name).find(isUnsupported);
    if (unknown) {
      const fields = `SFATAL\0C08P01\0Munsupported startup parameter: ${unknown}\0\0`;
      socket.write(framed('E', Buffer.from(fields)));
      return false;
    }
    if (this.#parameters.length === 0) this.#release(await this.#open(null));
    socket.write(
      Buffer.concat([
        framed('R', Buffer.alloc(4)),
        this.#parameters,
        framed('K', randomBytes(8)),
        framed('Z', Buffer.from('I')),
      ]),
    );
    return true;
  }

  async #take(client: Front): Promise<Back> {
    const back = this.#idle.pop();
    if (!back) return await this.#open(client);
    back.client = client;
    return back;
  }

  #release(back: Back): void {
    if (back.client) back.client.back = null;
    back.client = null;
    this.#idle.push(back);
  }

  async #open(client: Front | null): Promise<Back> {
    const { hostname, port, username, pathname } = this.#target;
    const socket = connect({ host: hostname, port: Number(port), noDelay: true });
    this.#sockets.add(socket);
    socket.on('error', () => {});
    const startup = `user\0${username}\0database\0${pathname.slice(1)}\0\0`;
    const head = Buffer.from([0, 0, 0, 8 + startup.length, 0, 3, 0, 0]);
    socket.write(Buffer.concat([head, Buffer.from(startup)]));
    const back: Back = { socket, client, due: 1, isOpen: false };
    const ready = Promise.withResolvers<Back>();
    void this.#relay(back, () => ready.resolve(back));
    return await ready.promise;
  }

  async #relay(back: Back, onReady: () => void): Promise<void> {
    const parameters: Buffer[] = [];
    let isReady = false;
    for await (const message of messagesOf(back.socket, () => false)) {
      if (isReady) back.client?.socket.write(message);
      else if (message[0] === code('S')) parameters.push(message);
      if (message[0] !== code('Z')) continue;
      back.due--;
      if (!isReady) {
        isReady = true;
        if (this.#parameters.length === 0) this.#parameters = Buffer.concat(parameters);
        onReady();
      } else if (this.#mode === 'transaction' && isBetweenTransactions(back, message)) {
        this.#release(back);
      }
    }
    back.client?.socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}

function isBetweenTransactions({ due, isOpen }: Back, ready: Buffer): boolean {
  return due === 0 && !isOpen && ready[5] === code('I');
}

function isUnsupported(name: string): boolean {
  return !startupParameters.some((each) => each.toLowerCase() === name.toLowerCase());
}

function code(letter: string): number {
  return letter.charCodeAt(0);
}

function framed(letter: string, body: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.write(letter);
  head.writeInt32BE(4 + body.length, 1);
  return Buffer.concat([head, body]);
}

/** Messages of the startup have no letter: they begin with their length, which is below 16 MB. */
function isStartup(bytes: Buffer): boolean {
  return bytes[0] === 0;
}

async function* messagesOf(
  socket: Socket,
  hasNoLetter: (bytes: Buffer) => boolean,
): AsyncGenerator<Buffer> {
  let rest = Buffer.alloc(0);
  try {
    for await (const bytes of socket) {
      rest = Buffer.concat([rest, bytes as Buffer]);
      for (;;) {
        const at = hasNoLetter(rest) ? 0 : 1;
        if (rest.length < at + 4) break;
        const end = at + rest.readInt32BE(at);
        if (rest.length < end) break;
        yield rest.subarray(0, end);
        rest = rest.subarray(end);
      }
    }
  } catch {
    // The connection was cut.
  }
}
