import { Readable } from 'node:stream';
import type { ByteSource } from './object-store.ts';
import { readSource } from './read-source.ts';

/**
 * Sends the whole source as the body of one request, and hears of every chunk that went out. What the
 * source throws comes before what the request makes of it.
 */
export async function sendSource<T>(
  source: ByteSource,
  signal: AbortSignal,
  onChunk: { readonly before: (chunk: Buffer) => void; readonly after: () => void },
  send: (body: Readable, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  // Ends with the request, so that a source which waits for bytes is closed with it, and with the
  // source, because not every client notices that its body has failed.
  const ending = new AbortController();
  const cut = AbortSignal.any([signal, ending.signal]);
  let sourceError: unknown;
  async function* bytes(): AsyncGenerator<Buffer> {
    try {
      for await (const chunk of readSource(source, null, cut)) {
        onChunk.before(chunk);
        yield chunk;
        onChunk.after();
      }
    } catch (error) {
      sourceError ??= error;
      ending.abort();
      throw error;
    }
  }
  const body = Readable.from(bytes(), { objectMode: false });
  // When the other side ends first, the source's end is an error that nobody waits for.
  body.on('error', () => {});
  try {
    return await send(body, cut);
  } catch (error) {
    throw sourceError ?? error;
  } finally {
    ending.abort();
    body.destroy();
  }
}
