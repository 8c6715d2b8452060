import {
  createServer as createHttpServer,
  type IncomingMessage,
  type Server,
  type ServerOptions,
} from 'node:http';
import type { Duplex } from 'node:stream';
import { getRequestListener, RequestError } from '@hono/node-server';
import { GatewayError, toGatewayError } from '../core/errors.ts';
import { withoutQuery } from '../core/without-query.ts';
import type { Logger } from '../telemetry/logger.ts';
import { RequestLog } from '../telemetry/request-log.ts';
import type { App } from './app.ts';
import { presentError } from './errors.ts';
import { noteRequest, noteUpgrade } from './request-note.ts';
import { toOriginForm } from './request-target.ts';
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
  limits: Pick<ServerOptions, 'requestTimeout' | 'headersTimeout' | 'keepAliveTimeout'>,
  logger: Logger,
): AppServer {
  const takers = new WeakMap<IncomingMessage, TakeConnection>();
  const sockets = new Set<Duplex>();
  const log = new RequestLog(logger);

  // What asks for another protocol, or for what nobody takes, is answered as if it asked for none.
  const shouldUpgradeCallback = (request: IncomingMessage): boolean => {
    toOriginForm(request);
    if (!wantsWebSocket(request)) return false;
    try {
      const take = upgrade(request);
      if (take) takers.set(request, take);
      return take !== null;
    } catch (error) {
      logger.error({ err: error, path: withoutQuery(request.url ?? '') }, 'upgrade.failed');
      return false;
    }
  };
  const answer = getRequestListener(fetch, {
    errorHandler: (error) => answerError(error, logger),
  });
  const server = createHttpServer({ ...limits, shouldUpgradeCallback }, (request, response) => {
    noteRequest(request, response, log);
    toOriginForm(request);
    // Whoever wanted a WebSocket has no use for the connection.
    if (wantsWebSocket(request)) response.shouldKeepAlive = false;
    void answer(request, response);
  });
  server.on('connect', (_request, socket) => {
    socket.on('error', () => socket.destroy());
    socket.end(noTunnel);
  });
  server.on('upgrade', async (request, socket, head) => {
    sockets.add(socket);
    noteUpgrade(request, withoutQuery(request.url ?? ''), log);
    // Node has taken its own listener away, and an error that nobody hears ends the process.
    socket.on('error', () => socket.destroy());
    socket.once('close', () => sockets.delete(socket));
    try {
      await takers.get(request)?.(socket, head);
    } catch (error) {
      logger.error({ err: error, path: withoutQuery(request.url ?? '') }, 'upgrade.failed');
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

/** The gateway is no proxy. */
const noTunnel =
  'HTTP/1.1 405 Method Not Allowed\r\nAllow: GET\r\nContent-Length: 0\r\nConnection: close\r\n\r\n';

/** Of a request that no app has seen: mostly there is no address to be made of its target and its host. */
function answerError(thrown: unknown, logger: Logger): Response {
  const isMalformed = thrown instanceof RequestError;
  const error = isMalformed
    ? new GatewayError('invalid_request', 'The address or the host of the request is malformed')
    : toGatewayError(thrown);
  if (!isMalformed) logger.error({ err: thrown }, 'request.failed');
  const { status, body } = presentError(error);
  return Response.json(body, { status });
}

function wantsWebSocket({ headers }: IncomingMessage): boolean {
  return headers.upgrade?.toLowerCase() === 'websocket';
}
