import { Readable } from 'node:stream';
import { type Dispatcher, request } from 'undici';
import { errorCodeOf } from './errors.ts';
import { deadlinePassed } from './oss-error.ts';

/**
 * How `ali-oss` reaches the network. The client takes any object with urllib's `request` (its
 * option `urllib`) and so keeps what it knows, OSS's signatures, addresses and XML, while the bytes
 * go through undici. Its own urllib 2 cannot be aborted, writes "callback twice" to the console when
 * a body breaks, and hides the cause.
 */
export interface OssTransport {
  request(url: string, parameters: OssRequest): Promise<OssAnswer>;
}

/** What `ali-oss` hands over, as far as we make it use it. */
export interface OssRequest {
  readonly method: Dispatcher.HttpMethod;
  readonly headers: Record<string, string>;
  readonly content?: string | Buffer;
  readonly stream?: Readable;
  /** Wants the body of a good answer as a stream. */
  readonly customResponse?: boolean;
  /** For the whole exchange, or for the head of a streamed answer. */
  readonly timeout: number;
  /**
   * The signal of the call. A function, because `completeMultipartUpload` makes a deep copy of its
   * options, of which an AbortSignal comes back as an empty object.
   */
  readonly ctx: () => AbortSignal;
}

export interface OssAnswer {
  readonly status: number;
  readonly headers: OssHeaders;
  readonly data?: Buffer;
  readonly res: Readable | { readonly status: number; readonly headers: OssHeaders };
}

export type OssHeaders = Readonly<Record<string, string | undefined>>;

/** A streamed answer that brings no byte for so long is given up. */
const idleBodyMs = 60_000;

export function undiciTransport(dispatcher: Dispatcher): OssTransport {
  return {
    async request(url, { method, headers, content, stream, customResponse, timeout, ctx }) {
      const deadline = new AbortController();
      const timer = setTimeout(() => deadline.abort(), timeout);
      try {
        const answer = await request(url, {
          dispatcher,
          method,
          headers,
          body: stream ?? content ?? null,
          signal: AbortSignal.any([ctx(), deadline.signal]),
          headersTimeout: 0,
          bodyTimeout: idleBodyMs,
        });
        const status = answer.statusCode;
        const answerHeaders = answer.headers as OssHeaders;
        if (customResponse && status < 300) {
          return { status, headers: answerHeaders, res: answer.body };
        }
        const body = Buffer.from(await answer.body.arrayBuffer());
        const data = body.length > 0 ? body : errorOfHead(answerHeaders);
        const res = customResponse ? Readable.from([]) : { status, headers: answerHeaders };
        return { status, headers: answerHeaders, data, res };
      } catch (error) {
        throw new NetworkError(deadline.signal.aborted ? deadlinePassed : errorCodeOf(error));
      } finally {
        clearTimeout(timer);
      }
    },
  };
}

/** The answer to a HEAD has no body, so OSS puts the XML of an error into a header. */
function errorOfHead(headers: OssHeaders): Buffer {
  return Buffer.from(headers['x-oss-err'] ?? '', 'base64');
}

/** `ali-oss` keeps of an error its name alone, and that only with the status by which urllib marks it. */
class NetworkError extends Error {
  override readonly name: string;
  readonly status = -1;

  constructor(code: string) {
    super('No answer');
    this.name = code;
  }
}
