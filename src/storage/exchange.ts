import type { Readable } from 'node:stream';
import { Agent, type Dispatcher, request } from 'undici';
import { GatewayError } from '../core/errors.ts';
import type { Tempo } from '../core/tempo.ts';
import { wholeBodies } from '../transport/whole-bodies.ts';
import { deadlinePassed } from './bucket-error.ts';
import { errorCodeOf } from './errors.ts';

/** One request of a storage service's client, which makes it and signs it and lets us send it. */
export interface ExchangeRequest {
  readonly method: Dispatcher.HttpMethod;
  readonly headers: Record<string, string>;
  readonly body: Readable | Uint8Array | string | null;
  /** The body of a good answer is wanted as a stream. */
  readonly isStreamed: boolean;
  /** For the whole exchange, or for the head of a streamed answer. */
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
}

export interface Exchanged {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: Readable | Buffer;
}

/** Lists of a thousand parts are the longest that is asked for. */
const maxAnswerBytes = 4 * 1024 * 1024;

export type AgentTempo = Pick<Tempo['store'], 'connectDeadlineMs' | 'idleDeadlineMs'>;

/** An agent for `exchange`, whose own deadline holds until the head of the answer is there. */
export function createAgent({ connectDeadlineMs, idleDeadlineMs }: AgentTempo): Dispatcher {
  return new Agent({
    connect: { timeout: connectDeadlineMs },
    headersTimeout: 0,
    bodyTimeout: idleDeadlineMs,
  }).compose(wholeBodies);
}

/**
 * Sends a request through undici, under one deadline.
 *
 * @throws NetworkError when there is no answer; what the dispatcher itself refuses.
 */
export async function exchange(
  dispatcher: Dispatcher,
  url: string,
  { method, headers, body, isStreamed, deadlineMs, signal }: ExchangeRequest,
): Promise<Exchanged> {
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(), deadlineMs);
  try {
    const answer = await request(url, {
      dispatcher,
      method,
      headers,
      body,
      signal: AbortSignal.any([signal, deadline.signal]),
    });
    const status = answer.statusCode;
    const answerHeaders = answer.headers as Exchanged['headers'];
    if (isStreamed && status < 300) return { status, headers: answerHeaders, body: answer.body };
    return { status, headers: answerHeaders, body: await wholeOf(answer.body) };
  } catch (error) {
    if (error instanceof GatewayError || error instanceof NetworkError) throw error;
    throw new NetworkError(deadline.signal.aborted ? deadlinePassed : errorCodeOf(error));
  } finally {
    clearTimeout(timer);
  }
}

async function wholeOf(body: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxAnswerBytes) throw new NetworkError('AnswerTooLong');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** `ali-oss` keeps of an error its name alone, and that only with the status by which urllib marks it. */
export class NetworkError extends Error {
  override readonly name: string;
  readonly status = -1;

  constructor(code: string) {
    super('No answer');
    this.name = code;
  }
}
