import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename } from 'node:path';
import { pipeline } from 'node:stream/promises';

/** Files of this machine as sources that a gateway can fetch. */
export class FileServer implements AsyncDisposable {
  /** `127.0.0.1:port`, for SOURCE_ALLOW. */
  readonly host: string;
  readonly #server: Server;

  private constructor(host: string, server: Server) {
    this.host = host;
    this.#server = server;
  }

  static async start(paths: readonly string[]): Promise<FileServer> {
    const byUrl = new Map(paths.map((path) => [`/${encodeURIComponent(basename(path))}`, path]));
    const server = createServer(async (request, response) => {
      const path = byUrl.get(request.url ?? '');
      const found = path && (await stat(path).catch(() => null));
      if (!path || !found) {
        response.writeHead(404).end();
        return;
      }
      response.writeHead(200, { 'content-length': found.size });
      await pipeline(createReadStream(path), response).catch(() => response.destroy());
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new FileServer(`127.0.0.1:${(server.address() as AddressInfo).port}`, server);
  }

  urlOf(path: string): string {
    return `http://${this.host}/${encodeURIComponent(basename(path))}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }
}
