import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** A web server for sources: files by their path, or whatever an answer does. */
export class SourceServer implements AsyncDisposable {
  /** `127.0.0.1:port`, for SOURCE_ALLOW. */
  readonly host: string;
  readonly #server: Server;
  readonly #answers: Map<string, Answer>;

  private constructor(host: string, server: Server, answers: Map<string, Answer>) {
    this.host = host;
    this.#server = server;
    this.#answers = answers;
  }

  static async start(): Promise<SourceServer> {
    const answers = new Map<string, Answer>();
    const server = createServer((request, response) => {
      const answer = answers.get(request.url ?? '');
      if (answer) answer(request, response);
      else response.writeHead(404).end('not here');
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new SourceServer(`127.0.0.1:${(server.address() as AddressInfo).port}`, server, answers);
  }

  /** Serves the bytes and returns their URL. */
  file(name: string, bytes: Buffer): string {
    return this.answer(name, (_request, response) => {
      response.writeHead(200, { 'content-length': bytes.length }).end(bytes);
    });
  }

  answer(name: string, answer: Answer): string {
    this.#answers.set(`/${encodeURIComponent(name)}`, answer);
    return `http://${this.host}/${encodeURIComponent(name)}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }
}
