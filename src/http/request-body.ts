import { Readable } from 'node:stream';
import type { ReadableStream } from 'node:stream/web';
import { GatewayError } from '../core/errors.ts';
import type { Tempo } from '../core/tempo.ts';

/** A body must bring so much in every window, or come to its end. */
export interface Pace {
  readonly windowMs: number;
  readonly minBytes: number;
}

/** The pace of clients that send files. */
export function paceOf({ paceDeadlineMs }: Pick<Tempo['http'], 'paceDeadlineMs'>): Pace {
  return { windowMs: paceDeadlineMs, minBytes: 300 * 1024 };
}

/**
 * The body of a request as it comes in, never whole in memory. A client that hardly sends anything
 * would keep its place for ever.
 *
 * @throws GatewayError from the stream: `source_timeout`; `source_interrupted` when the client is gone.
 */
export function requestBody(request: Request, pace: Pace): Readable {
  if (!request.body) return Readable.from([]);
  const incoming = Readable.fromWeb(request.body as unknown as ReadableStream<Uint8Array>);
  return Readable.from(atPace(incoming, pace), { objectMode: false });
}

/**
 * What ends because the client has gone is no fault of ours.
 *
 * @throws GatewayError `source_interrupted` in place of whatever it was then.
 */
export async function whileThere<T>({ signal }: Request, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw signal.aborted ? brokenOff(error) : error;
  }
}

async function* atPace(incoming: Readable, pace: Pace): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  const clock = setInterval(() => {
    if (bytes < pace.minBytes) incoming.destroy(tooSlow());
    bytes = 0;
  }, pace.windowMs);
  try {
    for await (const chunk of incoming) {
      bytes += chunk.length;
      yield chunk;
    }
  } catch (error) {
    throw error instanceof GatewayError ? error : brokenOff(error);
  } finally {
    clearInterval(clock);
  }
}

function tooSlow(): GatewayError {
  return new GatewayError('source_timeout', 'The request is sent too slowly, or not at all');
}

export function brokenOff(cause: unknown): GatewayError {
  return new GatewayError('source_interrupted', 'The request broke off before its end', { cause });
}
