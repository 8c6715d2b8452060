import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { patienceMs } from './patience.ts';
import { SourceServer } from './source-server.ts';
import { reset } from './tcp-proxy.ts';

test('a connection that is reset while it ends in order is closed all the same', async () => {
  await using server = await SourceServer.start();
  const [host, port] = server.host.split(':');
  const socket = connect({ host, port: Number(port) });
  await once(socket, 'connect');
  const closed = once(socket, 'close', { signal: AbortSignal.timeout(patienceMs) });
  socket.end();
  reset(socket);
  await closed;
});
