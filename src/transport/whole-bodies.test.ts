import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { wholeBodies } from './whole-bodies.ts';

const bytes = 2_000_000;

describe('a body whose server closes the connection without a word', () => {
  let claimed = bytes;
  const server = createServer((socket) => {
    socket.on('error', () => {}).once('data', () => answer(socket));
  });
  const answer = (socket: Socket) => {
    socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${claimed}\r\n\r\n`);
    socket.end(Buffer.alloc(bytes));
  };
  before(async () => {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  after(() => server.close());

  /** How much comes to a reader that is always behind. */
  async function read(): Promise<number> {
    const dispatcher = new Agent().compose(wholeBodies);
    const { port } = server.address() as AddressInfo;
    try {
      const { body } = await request(`http://127.0.0.1:${port}/`, { dispatcher });
      let count = 0;
      for await (const chunk of body as AsyncIterable<Buffer>) {
        count += chunk.length;
        await delay(1);
      }
      return count;
    } finally {
      await dispatcher.destroy();
    }
  }

  it('is whole where all of it has come', async () => {
    claimed = bytes;
    for (let i = 0; i < 10; i += 1) assert.equal(await read(), bytes);
  });

  it('is none where a byte is missing', async () => {
    claimed = bytes + 1;
    await assert.rejects(read(), /other side closed/);
  });
});
