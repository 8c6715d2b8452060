import { Readable } from 'node:stream';
import { SpeedWatch, slowestBytesPerSecond } from '../timing/floor.ts';
import { isDeadline } from './bucket-error.ts';
import { sourceTooSlow } from './errors.ts';
import type { ByteSource } from './object-store.ts';
import { readSource } from './read-source.ts';

export interface Taker<T> {
  /** The request, whose body the source is. */
  readonly send: (body: Readable, signal: AbortSignal) => Promise<T>;
  /** Its speed is judged over this time. */
  readonly floorDeadlineMs: number;
  /** What the request ends with where it takes the bytes too slowly. */
  readonly tooSlow: () => Error;
}

/**
 * Sends the whole source as the body of one request, and hears of every chunk that went out. What the
 * source throws comes before what the request makes of it; and where the time of the request is over,
 * that side is to blame that was waited for longer.
 */
export async function sendSource<T>(
  source: ByteSource,
  signal: AbortSignal,
  onChunk: { readonly before: (chunk: Buffer) => void; readonly after: () => void },
  { send, floorDeadlineMs, tooSlow }: Taker<T>,
): Promise<T> {
  // Ends with the request, so that a source which waits for bytes is closed with it, and with the
  // source, because not every client notices that its body has failed.
  const ending = new AbortController();
  const cut = AbortSignal.any([signal, ending.signal]);
  let failure: unknown;
  const end = (error: unknown) => {
    failure ??= error;
    ending.abort();
  };
  const floor = { floorDeadlineMs, minBytesPerSecond: slowestBytesPerSecond };
  const taking = new SpeedWatch(floor, () => end(tooSlow()));
  const startedAt = performance.now();
  let isRead = false;
  async function* bytes(): AsyncGenerator<Buffer> {
    try {
      for await (const chunk of readSource(source, null, cut)) {
        onChunk.before(chunk);
        taking.waiting();
        yield chunk;
        taking.moved(chunk.length);
        onChunk.after();
      }
      isRead = true;
    } catch (error) {
      end(error);
      throw error;
    }
  }
  const body = Readable.from(bytes(), { objectMode: false });
  // When the other side ends first, the source's end is an error that nobody waits for.
  body.on('error', () => {});
  try {
    return await send(body, cut);
  } catch (error) {
    const isOfTaker = isRead || taking.wholeMs > (performance.now() - startedAt) / 2;
    throw failure ?? (isDeadline(error) && !isOfTaker ? sourceTooSlow(error) : error);
  } finally {
    taking.stop();
    ending.abort();
    body.destroy();
  }
}
