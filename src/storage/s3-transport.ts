import { Readable } from 'node:stream';
import type { S3ClientConfig } from '@aws-sdk/client-s3';
import type { Dispatcher } from 'undici';
import { realTempo } from '../core/tempo.ts';
import { exchange } from './exchange.ts';
import { encodeUriPart } from './object-key.ts';

/** What the client hands over, as far as we read it. */
interface S3Request {
  readonly method: string;
  readonly protocol: string;
  readonly hostname: string;
  readonly port?: number;
  readonly path: string;
  readonly query?: Readonly<Record<string, string | string[] | null>>;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Readable | Uint8Array | string;
}

interface S3CallOptions {
  readonly abortSignal?: AbortSignal;
  /** Milliseconds. */
  readonly requestTimeout?: number;
}

const never = new AbortController().signal;

/**
 * How AWS's client reaches the network: through undici, as everything here, with one deadline for a
 * request and an error as soon as its body fails (the client's own handler pipes it and waits).
 */
export function s3Transport(dispatcher: Dispatcher): NonNullable<S3ClientConfig['requestHandler']> {
  const transport = {
    metadata: { handlerProtocol: 'http/1.1' },
    async handle(request: S3Request, { abortSignal, requestTimeout }: S3CallOptions = {}) {
      // undici does not wait for `100 Continue`; the header is not among the signed ones.
      const { expect: _, Expect: __, ...headers } = request.headers;
      const answer = await exchange(dispatcher, addressOf(request), {
        method: request.method as Dispatcher.HttpMethod,
        headers,
        body: request.body ?? null,
        isStreamed: request.query?.['x-id'] === 'GetObject',
        deadlineMs: requestTimeout ?? realTempo.store.requestDeadlineMs,
        signal: abortSignal ?? never,
      });
      const body = answer.body instanceof Readable ? answer.body : Readable.from([answer.body]);
      return { response: { statusCode: answer.status, headers: answer.headers, body } };
    },
    destroy(): void {},
    updateHttpClientConfig(): void {},
    httpHandlerConfigs: () => ({}),
  };
  return transport as unknown as NonNullable<S3ClientConfig['requestHandler']>;
}

/** The address of a request as the client describes it. */
export function addressOf({ protocol, hostname, port, path, query }: S3Request): string {
  const pairs = Object.entries(query ?? {}).flatMap(([name, values]) =>
    [values].flat().map((value) => `${encodeUriPart(name)}=${encodeUriPart(value ?? '')}`),
  );
  const search = pairs.length > 0 ? `?${pairs.join('&')}` : '';
  return `${protocol}//${hostname}${port ? `:${port}` : ''}${path}${search}`;
}
