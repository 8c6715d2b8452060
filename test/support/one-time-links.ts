import { samplePng } from './media-samples.ts';
import { SourceServer } from './source-server.ts';

/** Links to a picture that are good for one reading each: whoever comes later is answered 410. */
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

  /** A new link, whose picture is sent when `until` resolves. */
  link(until: Promise<unknown> = Promise.resolve()): string {
    const name = `${this.#readings.size}.png`;
    const url = this.#server.answer(name, async (_request, response) => {
      const reading = this.readings(url) + 1;
      this.#readings.set(url, reading);
      await until;
      if (reading > 1) response.writeHead(410).end();
      else response.writeHead(200).end(this.#bytes);
    });
    this.#readings.set(url, 0);
    return url;
  }

  /** A new link whose server fails at the first reading, and never again. */
  failingOnce(): string {
    const name = `${this.#readings.size}.png`;
    const url = this.#server.answer(name, (_request, response) => {
      const reading = this.readings(url) + 1;
      this.#readings.set(url, reading);
      if (reading === 1) response.writeHead(503).end();
      else response.writeHead(200).end(this.#bytes);
    });
    this.#readings.set(url, 0);
    return url;
  }

  /** Of its picture. */
  get bytes(): number {
    return this.#bytes.length;
  }

  /** How often it was asked for. */
  readings(url: string): number {
    return this.#readings.get(url) ?? 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server[Symbol.asyncDispose]();
  }
}
