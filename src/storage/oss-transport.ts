import { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import { exchange } from './exchange.ts';

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

export function undiciTransport(dispatcher: Dispatcher): OssTransport {
  return {
    async request(url, { method, headers, content, stream, customResponse, timeout, ctx }) {
      const answer = await exchange(dispatcher, url, {
        method,
        headers,
        body: stream ?? content ?? null,
        isStreamed: customResponse ?? false,
        deadlineMs: timeout,
        signal: ctx(),
      });
      const { status, headers: answerHeaders, body } = answer;
      if (body instanceof Readable) return { status, headers: answerHeaders, res: body };
      const data = body.length > 0 ? body : errorOfHead(answerHeaders);
      const res = customResponse ? Readable.from([]) : { status, headers: answerHeaders };
      return { status, headers: answerHeaders, data, res };
    },
  };
}

/** The answer to a HEAD has no body, so OSS puts the XML of an error into a header. */
function errorOfHead(headers: OssHeaders): Buffer {
  return Buffer.from(headers['x-oss-err'] ?? '', 'base64');
}
