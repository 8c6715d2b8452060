import type { IncomingMessage, Server, ServerOptions } from 'node:http';
import type { Duplex } from 'node:stream';
import { createAdaptorServer } from '@hono/node-server';
import type { Logger } from '../telemetry/logger.ts';
import type { App } from './app.ts';
import type { TakeConnection } from './upgrade.ts';

export interface AppServer {
  /** Listens as soon as it is told where. */
  readonly server: Server;
  /** Ends all connections at once; WebSockets are none that Node would count. */
  readonly cut: () => void;
}

/** A server for an app, and for the WebSockets that it takes. */
export function createServer(
  { fetch, upgrade }: App,
  limits: Pick<ServerOptions, 'requestTimeout' | 'headersTimeout'>,
  logger: Logger,
): AppServer {
  const takers = new WeakMap<IncomingMessage, TakeConnection>();
  const sockets = new Set<Duplex>();

  // What asks for another protocol, or for what nobody takes, is answered as if it asked for none.
  const shouldUpgradeCallback = (request: IncomingMessage): boolean => {
    if (!wantsWebSocket(request)) return false;
    try {
      const take = upgrade(request);
      if (take) takers.set(request, take);
      return take !== null;
    } catch (error) {
      logger.error({ err: error, path: request.url }, 'upgrade.failed');
      return false;
    }
  };
  const server = createAdaptorServer({
    fetch,
    serverOptions: { ...limits, shouldUpgradeCallback },
  }) as Server;
  // Whoever wanted a WebSocket has no use for the connection.
  server.prependListener('request', (request, response) => {
    if (wantsWebSocket(request)) response.shouldKeepAlive = false;
  });
  server.on('upgrade', async (request, socket, head) => {
    sockets.add(socket);
    // Node has taken its own listener away, and an error that nobody hears ends the process.
    socket.on('error', () => socket.destroy());
    socket.once('close', () => sockets.delete(socket));
    try {
      await takers.get(request)?.(socket, head);
    } catch (error) {
      logger.error({ err: error, path: request.url }, 'upgrade.failed');
      socket.destroy();
    }
  });
  return {
    server,
    cut: () => {
      server.closeAllConnections();
      for (const socket of sockets) socket.destroy();
    },
  };
}

function wantsWebSocket({ headers }: IncomingMessage): boolean {
  return headers.upgrade?.toLowerCase() === 'websocket';
}
