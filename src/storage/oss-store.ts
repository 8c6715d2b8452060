import { Readable } from 'node:stream';
import { Agent } from 'undici';
import { Digest } from './digest.ts';
import { checkObjectKey, encodeObjectKey } from './object-key.ts';
import type {
  ByteRange,
  ByteSource,
  ObjectStat,
  ObjectStore,
  OpenObject,
  PutOptions,
  StoredObject,
} from './object-store.ts';
import {
  createOssClient,
  type OssBucketOptions,
  type OssCall,
  type OssClient,
  type OssPart,
  publicUrlOf,
} from './oss-client.ts';
import { checksumMismatch, OssError, toOssError } from './oss-error.ts';
import { type OssHeaders, undiciTransport } from './oss-transport.ts';
import { readSource } from './read-source.ts';
import { type RetryPolicy, retry } from './retry.ts';

export interface OssStoreOptions extends OssBucketOptions {
  /** Stands before every key: `outputs/`. */
  readonly prefix?: string;
  /** The address of the bucket in links, where it is not the bucket's own. */
  readonly publicUrl?: string | null;
  readonly tuning?: Partial<OssTuning>;
}

export interface OssTuning {
  /** Up to here an object goes up in one request. */
  readonly singlePutMaxBytes: number;
  /** Size of the parts of larger ones; OSS takes none under 100 KiB but the last. */
  readonly partBytes: number;
  /** Parts that are read or sent at a time; each takes `partBytes` of memory. */
  readonly partsInFlight: number;
  /** What a request may take, whatever it carries. */
  readonly baseDeadlineMs: number;
  /** How slow a transfer may be before it is given up. */
  readonly minBytesPerSecond: number;
  readonly retry: RetryPolicy;
}

const defaultTuning: OssTuning = {
  singlePutMaxBytes: 32 * 1024 * 1024,
  partBytes: 8 * 1024 * 1024,
  partsInFlight: 3,
  baseDeadlineMs: 60_000,
  minBytesPerSecond: 256 * 1024,
  retry: { attempts: 5, baseDelayMs: 250, maxDelayMs: 8_000 },
};

const connectDeadlineMs = 10_000;
const cleanUpDeadlineMs = 15_000;

/** OSS joins at most so many parts to an object. */
const maxParts = 10_000;

/**
 * Objects in a bucket of Aliyun OSS. `ali-oss` speaks the protocol; deadlines, retries, aborts and
 * checksums are ours, because it has none that hold: its `timeout` counts the whole transfer, its
 * `retryMax` passes over streams, timeouts and 5xx, and it never compares a checksum.
 */
export class OssStore implements ObjectStore, AsyncDisposable {
  readonly #agent: Agent;
  readonly #client: OssClient;
  readonly #prefix: string;
  readonly #publicUrl: string;
  readonly #tuning: OssTuning;

  constructor(options: OssStoreOptions) {
    const prefix = (options.prefix ?? '').replace(/^\/+|\/+$/g, '');
    this.#agent = new Agent({ connect: { timeout: connectDeadlineMs } });
    this.#client = createOssClient(options, undiciTransport(this.#agent));
    this.#prefix = prefix && `${prefix}/`;
    this.#publicUrl = (options.publicUrl ?? publicUrlOf(options)).replace(/\/+$/, '');
    this.#tuning = { ...defaultTuning, ...options.tuning };
  }

  async put(key: string, source: ByteSource, options: PutOptions): Promise<StoredObject> {
    const name = this.#nameOf(key);
    const digest = new Digest();
    if (source.size <= this.#tuning.singlePutMaxBytes) {
      await this.#putWhole(name, source, digest, options);
    } else {
      await this.#putInParts(name, source, digest, options);
    }
    return { key, size: digest.size, sha256: digest.sha256() };
  }

  async open(
    key: string,
    range: ByteRange | null,
    signal: AbortSignal,
  ): Promise<OpenObject | null> {
    const name = this.#nameOf(key);
    // Without the second header OSS answers an impossible range with the whole object.
    const headers: Record<string, string> = range
      ? { Range: `bytes=${range.start}-${range.end}`, 'x-oss-range-behavior': 'standard' }
      : {};
    const found = await unlessMissing(
      this.#request(signal, 0, (call) => this.#client.getStream(name, { ...call, headers })),
    );
    return found && { ...describe(found.res.headers), body: found.stream };
  }

  async stat(key: string, signal: AbortSignal): Promise<ObjectStat | null> {
    const headers = await this.#head(this.#nameOf(key), signal);
    return headers && describe(headers);
  }

  async delete(key: string, signal: AbortSignal): Promise<void> {
    const name = this.#nameOf(key);
    await unlessMissing(this.#request(signal, 0, (call) => this.#client.delete(name, call)));
  }

  urlOf(key: string): string {
    return `${this.#publicUrl}/${encodeObjectKey(this.#nameOf(key))}`;
  }

  /** Cuts what is still under way. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.destroy();
  }

  /** One request, whose every try reads the source anew. */
  async #putWhole(
    name: string,
    source: ByteSource,
    digest: Digest,
    options: PutOptions,
  ): Promise<void> {
    await this.#seal(name, source, digest, options.signal, () =>
      this.#retry(options.signal, async () => {
        digest.reset();
        verify(await this.#sendWhole(name, source, digest, options), digest);
      }),
    );
  }

  async #sendWhole(
    name: string,
    source: ByteSource,
    digest: Digest,
    { contentType, onProgress, signal }: PutOptions,
  ): Promise<OssHeaders> {
    // Ends with the try, so that a source which waits for bytes is closed with it.
    const ending = new AbortController();
    const cut = AbortSignal.any([signal, ending.signal]);
    let sourceError: unknown;
    async function* bytes(): AsyncGenerator<Buffer> {
      try {
        for await (const chunk of readSource(source, null, cut)) {
          digest.update(chunk);
          yield chunk;
          onProgress?.(digest.size);
        }
      } catch (error) {
        sourceError = error;
        throw error;
      }
    }
    const body = Readable.from(bytes(), { objectMode: false });
    // When the other side ends first, the source's end is an error that nobody waits for.
    body.on('error', () => {});
    try {
      const { res } = await this.#client.putStream(name, body, {
        ...this.#callWith(cut, source.size),
        mime: contentType,
        // As text, because a number 0 would make the client send chunks of unknown length.
        contentLength: String(source.size),
      });
      return res.headers;
    } catch (error) {
      throw sourceError ?? toOssError(error);
    } finally {
      ending.abort();
      body.destroy();
    }
  }

  /** An upload of several requests, each of them repeated by itself. */
  async #putInParts(
    name: string,
    source: ByteSource,
    digest: Digest,
    options: PutOptions,
  ): Promise<void> {
    const { contentType, signal } = options;
    // A lost answer leaves an upload without a name; the bucket's lifecycle rule has to remove it.
    const { uploadId } = await this.#request(signal, 0, (call) =>
      this.#client.initMultipartUpload(name, { ...call, mime: contentType }),
    );
    try {
      const parts = await this.#sendParts(name, uploadId, source, digest, options);
      await this.#seal(name, source, digest, signal, async () => {
        const { res } = await this.#request(signal, 0, (call) =>
          this.#client.completeMultipartUpload(name, uploadId, parts, call),
        );
        verify(res.headers, digest);
      });
    } catch (error) {
      await this.#cleanUp((cleaning) =>
        this.#request(cleaning, 0, (call) =>
          this.#client.abortMultipartUpload(name, uploadId, call),
        ),
      );
      throw error;
    }
  }

  /**
   * Reads the source once, in order, because a checksum needs that, into a few buffers that take
   * turns; a part that fails is sent again from its buffer.
   */
  async #sendParts(
    name: string,
    uploadId: string,
    source: ByteSource,
    digest: Digest,
    { signal, onProgress }: PutOptions,
  ): Promise<OssPart[]> {
    const halt = new AbortController();
    const cut = AbortSignal.any([signal, halt.signal]);
    const freeBuffers: Buffer[] = [];
    const sent: OssPart[] = [];
    let storedBytes = 0;

    const partBytes = Math.max(this.#tuning.partBytes, Math.ceil(source.size / maxParts));
    async function* readParts(): AsyncGenerator<{ number: number; bytes: Buffer; buffer: Buffer }> {
      for (let start = 0, number = 1; start < source.size; start += partBytes, number += 1) {
        const end = Math.min(start + partBytes, source.size) - 1;
        const buffer = freeBuffers.pop() ?? Buffer.allocUnsafeSlow(partBytes);
        let filled = 0;
        for await (const chunk of readSource(source, { start, end }, cut)) {
          digest.update(chunk);
          filled += chunk.copy(buffer, filled);
        }
        yield { number, bytes: buffer.subarray(0, filled), buffer };
      }
    }

    // An async generator hands out one part after the other, however many ask for the next.
    const parts = readParts();
    const sendUntilDone = async (): Promise<void> => {
      for (let next = await parts.next(); !next.done; next = await parts.next()) {
        const { number, bytes, buffer } = next.value;
        const { etag } = await this.#request(cut, bytes.length, (call) =>
          this.#client.uploadPart(name, uploadId, number, bytes, 0, bytes.length, call),
        );
        freeBuffers.push(buffer);
        sent.push({ number, etag });
        storedBytes += bytes.length;
        onProgress?.(storedBytes);
      }
    };
    const senders = Array.from({ length: this.#tuning.partsInFlight }, () =>
      sendUntilDone().catch((error) => halt.abort(error)),
    );
    await Promise.all(senders);
    cut.throwIfAborted();
    return sent;
  }

  /**
   * Sends what makes the object appear. An answer may be lost although the object is there: then the
   * object itself is asked. Whoever gives up takes along what was stored meanwhile.
   */
  async #seal(
    name: string,
    source: ByteSource,
    digest: Digest,
    signal: AbortSignal,
    send: () => Promise<void>,
  ): Promise<void> {
    try {
      await send();
    } catch (error) {
      const uncertain = signal.aborted || (error instanceof OssError && error.isUncertain);
      const isStored =
        uncertain && digest.size === source.size && (await this.#isStored(name, digest));
      if (isStored && !signal.aborted) return;
      if (isStored || (error instanceof OssError && error.isMismatch)) {
        await this.#cleanUp((cleaning) =>
          this.#request(cleaning, 0, (call) => this.#client.delete(name, call)),
        );
      }
      throw error;
    }
  }

  async #isStored(name: string, digest: Digest): Promise<boolean> {
    const headers = await this.#cleanUp((cleaning) => this.#head(name, cleaning));
    return headers?.['x-oss-hash-crc64ecma'] === digest.crc64();
  }

  /** After a failure: within a deadline of its own, and without another failure. */
  async #cleanUp<T>(operation: (cleaning: AbortSignal) => Promise<T>): Promise<T | null> {
    return await operation(AbortSignal.timeout(cleanUpDeadlineMs)).catch(() => null);
  }

  async #head(name: string, signal: AbortSignal): Promise<OssHeaders | null> {
    const found = await unlessMissing(
      this.#request(signal, 0, (call) => this.#client.head(name, call)),
    );
    return found?.res.headers ?? null;
  }

  /** A request that can be repeated as it is. */
  async #request<T>(
    signal: AbortSignal,
    bodyBytes: number,
    send: (call: OssCall) => Promise<T>,
  ): Promise<T> {
    return await this.#retry(signal, async () => {
      try {
        return await send(this.#callWith(signal, bodyBytes));
      } catch (error) {
        throw toOssError(error);
      }
    });
  }

  async #retry<T>(signal: AbortSignal, operation: () => Promise<T>): Promise<T> {
    const isTransient = (error: unknown) => error instanceof OssError && error.isTransient;
    return await retry(this.#tuning.retry, isTransient, signal, operation);
  }

  #callWith(signal: AbortSignal, bodyBytes: number): OssCall {
    const { baseDeadlineMs, minBytesPerSecond } = this.#tuning;
    const timeout = Math.ceil(baseDeadlineMs + (bodyBytes / minBytesPerSecond) * 1000);
    return { timeout, ctx: () => signal };
  }

  #nameOf(key: string): string {
    checkObjectKey(key);
    return this.#prefix + key;
  }
}

function verify(headers: OssHeaders, digest: Digest): void {
  const theirs = headers['x-oss-hash-crc64ecma'];
  if (theirs === undefined || theirs === digest.crc64()) return;
  const requestId = headers['x-oss-request-id'] ?? null;
  throw new OssError({ code: checksumMismatch, status: 200, requestId });
}

function describe(headers: OssHeaders): ObjectStat {
  const wholeLength = headers['content-range']?.split('/')[1] ?? headers['content-length'];
  return {
    size: Number(wholeLength),
    contentType: headers['content-type'] ?? 'application/octet-stream',
    modifiedAt: new Date(headers['last-modified'] ?? 0),
    etag: headers.etag ?? '',
  };
}

async function unlessMissing<T>(looking: Promise<T>): Promise<T | null> {
  try {
    return await looking;
  } catch (error) {
    if (error instanceof OssError && error.isMissing) return null;
    throw error;
  }
}
