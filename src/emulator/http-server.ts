/** The listening side: routes, the origin check, HTTP errors, and the upgrade to a WebSocket. */

import { randomInt } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemCodeOf } from '../core/system-code.ts';
import type { Faults } from './faults.ts';
import { empty, type Reply, send, serverError, text } from './reply.ts';
import { jobRoutes, type RouteContext, type Routes, routes } from './routes.ts';
import type { Sockets } from './sockets.ts';
import { BodyTooLarge } from './upload.ts';

/**
 * Where "any port" is looked for: below the range from which systems take the ports of outgoing
 * connections. One of those would else take the port of a server that is down to come back.
 */
const anyPort = { from: 20_000, to: 32_000, tries: 100 } as const;

/** How long the rest of a refused body is read, so that the sender gets to see the answer. */
const lingerMs = 10_000;

export interface HttpServerOptions {
  readonly faults: Faults;
  /** The process of the moment: a restart makes another one. */
  readonly current: () => { readonly context: RouteContext; readonly sockets: Sockets };
}

export class HttpServer {
  readonly #options: HttpServerOptions;
  #server: Server | null = null;

  constructor(options: HttpServerOptions) {
    this.#options = options;
  }

  /** 0 takes any port that is free. */
  async listen(port: number, host: string): Promise<number> {
    if (port !== 0) return this.#listen(port, host);
    for (let tries = 1; ; tries++) {
      try {
        return await this.#listen(randomInt(anyPort.from, anyPort.to), host);
      } catch (error) {
        if (tries === anyPort.tries || !isPortTaken(error)) throw error;
      }
    }
  }

  async #listen(port: number, host: string): Promise<number> {
    const server = createServer((request, response) => void this.#answer(request, response));
    // A 4 GB upload takes as long as it takes.
    server.requestTimeout = 0;
    server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, host, resolve);
    });
    this.#server = server;
    return (server.address() as AddressInfo).port;
  }

  /** Refuses from now on, and breaks what is open. */
  async close(): Promise<void> {
    const server = this.#server;
    if (server === null) return;
    this.#server = null;
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { faults } = this.#options;
    response.on('error', () => {});
    request.on('error', () => {});
    response.setHeader('Server', `ComfyUI/${this.#options.current().context.version}`);
    try {
      const reply = await this.#route(request);
      if (faults.slowMs > 0) await sleep(faults.slowMs, undefined, { ref: false });
      const file = typeof reply.body === 'object' && 'file' in reply.body ? reply.body.file : null;
      const isHead = request.method === 'HEAD';
      const isTruncated = file !== null && !isHead && faults.takeTruncation();
      if (response.destroyed) return;
      const isDripping = () => file !== null && faults.isDripping(path.basename(file));
      await send(response, reply, { isHead, isTruncated, isDripping });
      await linger(request);
    } catch {
      // The client went away in the middle.
      response.destroy();
    }
  }

  async #route(request: IncomingMessage): Promise<Reply> {
    if (isForeignOrigin(request)) return empty(403);
    const { pathname, searchParams: query } = new URL(request.url ?? '/', 'http://localhost');
    const { context } = this.#options.current();
    const method = request.method === 'HEAD' ? 'GET' : (request.method ?? 'GET');
    const found =
      (context.hasJobs ? findRoute(jobRoutes, pathname) : null) ??
      findRoute(routes, withoutApi(pathname));
    // Whatever else there is below `/` would be a file of the web page: there to be read only.
    if (found === null) return method === 'GET' ? notFound() : wrongMethod(['GET']);
    const handler = found.methods[method];
    if (handler === undefined) return wrongMethod(Object.keys(found.methods));
    try {
      return await handler(context, { message: request, query, wildcard: found.wildcard });
    } catch (error) {
      return error instanceof BodyTooLarge ? tooLarge(error) : serverError();
    }
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => {});
    const { pathname } = new URL(request.url ?? '/', 'http://localhost');
    const refuse = (status: string) =>
      socket.end(`HTTP/1.1 ${status}\r\nContent-Length: 0\r\n\r\n`);
    if (isForeignOrigin(request)) refuse('403 Forbidden');
    else if (withoutApi(pathname) !== '/ws') refuse('404 Not Found');
    else this.#options.current().sockets.accept(request, socket, head);
  }
}

/** Every route also stands below `/api`. */
function withoutApi(pathname: string): string {
  return pathname.startsWith('/api/') ? pathname.slice('/api'.length) : pathname;
}

function findRoute(among: Routes, path: string) {
  const exact = among[path];
  if (exact !== undefined) return { methods: exact, wildcard: '' };
  const segments = path.split('/');
  for (const [index, segment] of segments.entries()) {
    const methods = among[segments.with(index, '*').join('/')];
    if (methods !== undefined) return { methods, wildcard: decodeURIComponent(segment) };
  }
  return null;
}

function isPortTaken(error: unknown): boolean {
  return systemCodeOf(error) === 'EADDRINUSE';
}

function notFound(): Reply {
  return { status: 404, headers: { 'Content-Type': 'application/octet-stream' } };
}

function wrongMethod(methods: readonly string[]): Reply {
  const allowed = methods.flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method]));
  return text(405, '405: Method Not Allowed', { Allow: allowed.join(',') });
}

function tooLarge(error: BodyTooLarge): Reply {
  return text(413, error.message, { Connection: 'close' });
}

/** A web page of another site must not reach a server on loopback. */
function isForeignOrigin({ headers }: IncomingMessage): boolean {
  const { host, origin } = headers;
  if (host === undefined || origin === undefined) return false;
  if (!/^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/.test(host)) return false;
  return !URL.canParse(origin) || new URL(origin).host !== host;
}

async function linger(request: IncomingMessage): Promise<void> {
  if (request.complete || request.destroyed) return;
  request.resume();
  const timer = setTimeout(() => request.destroy(), lingerMs);
  await new Promise((resolve) => request.once('close', resolve).once('end', resolve));
  clearTimeout(timer);
}
