import { addAbortSignal, type Readable } from 'node:stream';
import type { GatewayError } from '../core/errors.ts';
import { backendFailed } from './errors.ts';
import type { LongAnswers } from './long-answers.ts';

/** An answer this long may be in memory beside any others. */
export const shortAnswerBytes = 1024 * 1024;
/** The longest: a queue lists whole graphs, and servers with 5,000 node classes describe them in 50 MB. */
export const longAnswerBytes = 64 * 1024 * 1024;

/** What a server said, in memory. Disposing of it makes room for the next long one. */
export interface Answer extends Disposable {
  readonly statusCode: number;
  readonly text: string;
}

/** A response as it comes in. */
interface Incoming {
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Readable;
}

/**
 * Reads an answer into memory; a long one when its turn has come.
 *
 * @throws GatewayError `backend_failed` for one that is too long, or too slow while others wait; the
 *   signal's reason; what the connection ended with.
 */
export async function readAnswer(
  { statusCode, headers, body }: Incoming,
  maxBytes: number,
  longAnswers: LongAnswers,
  signal: AbortSignal,
): Promise<Answer> {
  const declared = Number(headers['content-length']) || 0;
  const text = new GrowingText();
  addAbortSignal(signal, body);
  using turns = new DisposableStack();
  let isLong = false;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    text.append(chunk);
    if (Math.max(declared, text.bytes) > maxBytes) {
      throw backendFailed('answer', { statusCode }, `it says more than ${maxBytes / 1024 ** 2} MB`);
    }
    if (isLong || text.bytes <= shortAnswerBytes) continue;
    isLong = true;
    const { giveWay } = turns.use(await longAnswers.take(signal));
    giveWay.addEventListener('abort', () => body.destroy(tooSlow(statusCode)), { once: true });
  }
  const held = turns.move();
  return { statusCode, text: text.toString(), [Symbol.dispose]: () => held.dispose() };
}

function tooSlow(statusCode: number): GatewayError {
  return backendFailed('answer', { statusCode }, 'it is slow with a long answer, and others wait');
}

/** Bytes that come in pieces, however small: each is copied, because a piece takes more than its bytes. */
class GrowingText {
  #buffer = Buffer.alloc(16 * 1024);
  bytes = 0;

  append(piece: Buffer): void {
    const bytes = this.bytes + piece.length;
    if (bytes > this.#buffer.length) {
      const larger = Buffer.alloc(Math.max(bytes, this.#buffer.length * 2));
      this.#buffer.copy(larger, 0, 0, this.bytes);
      this.#buffer = larger;
    }
    piece.copy(this.#buffer, this.bytes);
    this.bytes = bytes;
  }

  toString(): string {
    return this.#buffer.toString('utf8', 0, this.bytes);
  }
}
