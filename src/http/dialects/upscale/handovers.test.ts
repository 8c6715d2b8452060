import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { eventually } from '../../../../test/support/eventually.ts';
import { testTempo } from '../../../../test/support/tempo.ts';
import { Handovers } from './handovers.ts';

/** More than a socket reads at once, and less than the system takes from a server at once. */
const size = 1_000_000;
const rest = 10_000;

describe('handovers', () => {
  let server: Server;
  const handovers = new Handovers(testTempo.http.handoverQuietMs);
  /** What was done, and which answers were sent. */
  const done: string[] = [];
  const sent: string[] = [];
  const unended: ServerResponse[] = [];

  before(async () => {
    server = createServer(async (request, response) => {
      const id = request.url ?? '';
      // What was sent whole comes to its end now, and not before.
      setImmediate(() => unended.shift()?.end());
      await handovers.settle(id, request.socket);
      if (done.includes(id)) {
        response.writeHead(410).end();
        return;
      }
      handovers.watch(id, {
        outgoing: response,
        bytes: size,
        done: async () => {
          // As long as a store takes to remove a result.
          await delay(100);
          done.push(id);
        },
      });
      response.once('finish', () => sent.push(id));
      response.writeHead(200, { 'content-length': size, connection: 'keep-alive' });
      response.write(Buffer.alloc(size - rest));
      if (id === '/short') return;
      response.write(Buffer.alloc(rest));
      if (id.startsWith('/unended')) unended.push(response);
      else response.end();
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  after(() => {
    server.close();
    server.closeAllConnections();
  });

  async function ask(path: string, connection = 'keep-alive'): Promise<Socket> {
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
    await once(socket, 'connect');
    send(socket, path, connection);
    return socket;
  }

  function send(socket: Socket, path: string, connection = 'keep-alive'): void {
    socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\nconnection: ${connection}\r\n\r\n`);
  }

  /** Reads one answer to its end and returns its status. */
  async function readAnswer(socket: Socket): Promise<number> {
    let text = Buffer.alloc(0);
    for (;;) {
      const chunk = socket.read() as Buffer | null;
      if (!chunk) {
        await once(socket, 'readable');
        continue;
      }
      text = Buffer.concat([text, chunk]);
      const head = text.indexOf('\r\n\r\n');
      if (head < 0) continue;
      const [, length = '0'] =
        /content-length: (\d+)/i.exec(text.toString('latin1', 0, head)) ?? [];
      if (text.length >= head + 4 + Number(length)) return Number(text.toString('latin1', 9, 12));
    }
  }

  for (const connection of ['keep-alive', 'close']) {
    it(`are done when the client closes after all of it, asked for with ${connection}`, async () => {
      const path = `/a-${connection}`;
      const socket = await ask(path, connection);
      assert.equal(await readAnswer(socket), 200);
      socket.end();
      await eventually(() => assert.ok(done.includes(path)));
    });

    it(`are not done when the client goes away with a part, asked for with ${connection}`, async () => {
      const path = `/b-${connection}`;
      const socket = await ask(path, connection);
      await once(socket, 'readable');
      assert.ok(socket.read(100));
      // It would be gone by now if it were enough that it was sent.
      await eventually(() => assert.ok(sent.includes(path)));
      socket.destroy();
      const again = await ask(path);
      assert.equal(await readAnswer(again), 200);
      assert.ok(!done.includes(path));
      again.end();
      await eventually(() => assert.ok(done.includes(path)));
    });
  }

  it('are done when the client closes before it is told that there is no more', async () => {
    const socket = await ask('/unended');
    assert.equal(await readAnswer(socket), 200);
    socket.destroy();
    await eventually(() => assert.ok(done.includes('/unended')));
  });

  it('are done when the client goes on before it is told that there is no more', async () => {
    const socket = await ask('/unended-2');
    assert.equal(await readAnswer(socket), 200);
    send(socket, '/unended-2');
    assert.equal(await readAnswer(socket), 410);
    socket.destroy();
  });

  it('are not done when the client closes after all that has come so far', async () => {
    const socket = await ask('/short');
    let bytes = 0;
    for await (const chunk of socket) {
      bytes += chunk.length;
      if (bytes > size - rest) break;
    }
    const other = await ask('/short');
    other.destroy();
    assert.equal(await readAnswer(await ask('/other')), 200);
    assert.ok(!done.includes('/short'));
  });

  it('are done before another request on the same connection is answered', async () => {
    const socket = await ask('/c');
    assert.equal(await readAnswer(socket), 200);
    send(socket, '/c');
    assert.equal(await readAnswer(socket), 410);
    socket.destroy();
  });

  it('are done before a client that closed its connection is answered on another one', async () => {
    const socket = await ask('/d');
    assert.equal(await readAnswer(socket), 200);
    socket.destroy();
    const other = await ask('/d');
    assert.equal(await readAnswer(other), 410);
    other.destroy();
  });

  it('are waited for by a request on another connection while it is not known whether they arrived', async () => {
    const [socket, other] = [await ask('/h'), await ask('/i')];
    assert.equal(await readAnswer(socket), 200);
    assert.equal(await readAnswer(other), 200);
    send(other, '/h');
    assert.equal(await readAnswer(other), 410);
    socket.destroy();
    other.destroy();
  });

  it('are not done by a request that was sent ahead', async () => {
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
    await once(socket, 'connect');
    send(socket, '/e');
    send(socket, '/e');
    await once(socket, 'readable');
    socket.destroy();
    await eventually(async () => {
      const other = await ask('/e');
      assert.equal(await readAnswer(other), 200);
      other.destroy();
    });
  });

  it('are done when the client keeps the connection and is silent', async () => {
    const socket = await ask('/f');
    assert.equal(await readAnswer(socket), 200);
    await eventually(() => assert.ok(done.includes('/f')));
    assert.equal(socket.closed, false);
    socket.destroy();
  });

  it('end the connection of a client that asked for that, and are done when it does the same', async () => {
    const socket = await ask('/g', 'close');
    socket.resume();
    await once(socket, 'end');
    await eventually(() => assert.ok(done.includes('/g')));
  });
});
