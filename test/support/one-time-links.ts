import type { ServerResponse } from 'node:http';
import { samplePng } from './media-samples.ts';
import { SourceServer } from './source-server.ts';

/** Links to a picture, most of them good for one reading, which count how often they were asked for. */
export class OneTimeLinks implements AsyncDisposable {
  readonly host: string;
  readonly #server: SourceServer;
  readonly #bytes: Buffer;
  readonly #readings = new Map<string, number>();

  private constructor(server: SourceServer, bytes: Buffer) {
    this.host = server.host;
    this.#server = server;
    this.#bytes = bytes;
  }

  static async start(): Promise<OneTimeLinks> {
    const bytes = await samplePng({ width: 64, height: 64, seed: 2 });
    return new OneTimeLinks(await SourceServer.start(), bytes);
  }

  /** A new link that gives its picture once, when `until` resolves; later it answers 410. */
  link(until: Promise<unknown> = Promise.resolve()): string {
    return this.#answering(async (reading, response) => {
      await until;
      if (reading > 1) response.writeHead(410).end();
      else response.end(this.#bytes);
    });
  }

  /** A new link whose server fails at the first reading, and never again. */
  failingOnce(): string {
    return this.#answering((reading, response) => {
      if (reading === 1) response.writeHead(503).end();
      else response.end(this.#bytes);
    });
  }

  /** A new link that gives nothing at the first reading before `until` resolves. */
  stallingOnce(until: Promise<unknown>): string {
    return this.#answering(async (reading, response) => {
      if (reading === 1) await until;
      response.end(this.#bytes);
    });
  }

  /** Of its picture. */
  get bytes(): number {
    return this.#bytes.length;
  }

  /** How often it was asked for. */
  readings(url: string): number {
    return this.#readings.get(url) ?? 0;
  }

  #answering(answer: (reading: number, response: ServerResponse) => void): string {
    const url = this.#server.answer(`${this.#readings.size}.png`, (_request, response) => {
      const reading = this.readings(url) + 1;
      this.#readings.set(url, reading);
      answer(reading, response);
    });
    this.#readings.set(url, 0);
    return url;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server[Symbol.asyncDispose]();
  }
}
