import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import { GatewayError } from '../core/errors.ts';
import { realTempo, type Tempo } from '../core/tempo.ts';
import { isDeadline } from './bucket-error.ts';
import { type Exchanged, exchange, NetworkError } from './exchange.ts';
import type { ByteSource, OutputTarget, PutOptions, StoredObject } from './object-store.ts';
import { sendSource } from './send-source.ts';

/** How slow a transfer may be before it is given up. */
const minBytesPerSecond = 256 * 1024;

/** Statuses below 500 that say nothing against another try. */
const passing = [408, 429];

/**
 * An address that a client gave for its result: it takes one PUT, as a presigned URL of an object
 * storage does. Nothing of the address is kept or told, because whoever has it may write there.
 */
export class PutTarget implements OutputTarget {
  readonly #url: string;
  readonly #dispatcher: Dispatcher;
  readonly #tempo: Tempo['target'];

  /** `dispatcher` decides where connections may lead; redirects are not followed. */
  constructor(url: string, dispatcher: Dispatcher, tempo: Tempo['target'] = realTempo.target) {
    this.#tempo = tempo;
    this.#url = url;
    this.#dispatcher = dispatcher;
  }

  /**
   * @throws GatewayError `target_refused` for good; `target_failed` where another try may succeed;
   *   whatever the source throws; the signal's reason.
   */
  async put(key: string, source: ByteSource, options: PutOptions): Promise<StoredObject> {
    const { contentType, signal } = options;
    signal.throwIfAborted();
    const first = await this.#send(source, { 'content-type': contentType }, options);
    // Some services sign the type of the content, or that there is none: then a PUT that names one is
    // refused. Which it was cannot be seen from outside.
    const sent = first.status === 403 ? await this.#send(source, {}, options) : first;
    if (sent.status < 200 || sent.status > 299) throw refusal(sent.status);
    return { key, size: source.size, sha256: sent.sha256 };
  }

  /** Nothing is left of a PUT that broke off. */
  async abandon(): Promise<void> {}

  async #send(
    source: ByteSource,
    headers: Record<string, string>,
    { onProgress, signal }: PutOptions,
  ): Promise<Pick<Exchanged, 'status'> & { readonly sha256: string }> {
    const hash = createHash('sha256');
    let sentBytes = 0;
    const onChunk = {
      before: (chunk: Buffer) => {
        hash.update(chunk);
        sentBytes += chunk.length;
      },
      after: () => onProgress?.(sentBytes),
    };
    try {
      const answer = await sendSource(source, signal, onChunk, {
        send: (body, cut) =>
          exchange(this.#dispatcher, this.#url, {
            method: 'PUT',
            headers: { ...headers, 'content-length': String(source.size) },
            body,
            isStreamed: true,
            deadlineMs: this.#tempo.requestDeadlineMs + (source.size / minBytesPerSecond) * 1000,
            signal: cut,
          }),
        floorDeadlineMs: this.#tempo.floorDeadlineMs,
        tooSlow,
      });
      // All is said by the status.
      if (answer.body instanceof Readable) answer.body.on('error', () => {}).destroy();
      return { status: answer.status, sha256: hash.digest('hex') };
    } catch (error) {
      signal.throwIfAborted();
      throw unreached(error);
    }
  }
}

function refusal(status: number): GatewayError {
  const detail = { status };
  if (passing.includes(status) || status >= 500) {
    const message = `The address for the result is failing or too busy (status ${status})`;
    return new GatewayError('target_failed', message, { detail });
  }
  const why = status < 400 ? 'it redirects, which is not followed' : `it answers ${status}`;
  return new GatewayError('target_refused', `The address for the result does not take it: ${why}`, {
    detail,
  });
}

function tooSlow(): GatewayError {
  return new GatewayError('target_failed', 'The address for the result takes it too slowly');
}

function unreached(error: unknown): unknown {
  if (isDeadline(error)) {
    return new GatewayError('target_failed', 'The address for the result does not answer in time');
  }
  if (error instanceof NetworkError) {
    return new GatewayError('target_failed', 'The address for the result cannot be reached', {
      detail: { code: error.name },
    });
  }
  // The agent judged where the connection leads.
  if (error instanceof GatewayError && error.code === 'source_refused') {
    return new GatewayError(
      'target_refused',
      'The address for the result is not on the public internet, and not among those that this gateway allows',
      { detail: error.detail },
    );
  }
  return error;
}
