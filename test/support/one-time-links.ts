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

  /** A new link; its picture is sent when `until` resolves. */
  link(until: Promise<unknown> = Promise.resolve()): string {
    const name = `${this.#readings.size}.png`;
    const url = this.#server.answer(name, async (_request, response) => {
      const reading = this.readings(url) + 1;
      this.#readings.set(url, reading);
      if (reading > 1) return response.writeHead(410).end();
      response.writeHead(200, { 'content-length': this.#bytes.length });
      response.write(this.#bytes.subarray(0, 100));
      await until;
      return response.end(this.#bytes.subarray(100));
    });
    this.#readings.set(url, 0);
    return url;
  }

  /** How often it was asked for. */
  readings(url: string): number {
    return this.#readings.get(url) ?? 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server[Symbol.asyncDispose]();
  }
}
