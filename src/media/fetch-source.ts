import { createHash } from 'node:crypto';
import type dns from 'node:dns';
import { type FileHandle, open, rm } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { type Agent, type Dispatcher, request } from 'undici';
import { GatewayError } from '../core/errors.ts';
import { createGuardedAgent } from './guarded-agent.ts';
import {
  fromBody,
  fromDisk,
  fromNetwork,
  fromStatus,
  interrupted,
  sourceEmpty,
  sourceTimeout,
  sourceTooLarge,
} from './source-errors.ts';
import type { SourceAllow } from './source-policy.ts';
import { validateSourceUrl } from './source-url.ts';

export interface SourceFetcherOptions {
  readonly allow: SourceAllow;
  readonly maxBytes: number;
  readonly deadlines?: Partial<Deadlines>;
  readonly lookup?: typeof dns.lookup;
}

export interface Deadlines {
  readonly connectMs: number;
  readonly headersMs: number;
  /** Between two pieces of a body. */
  readonly idleMs: number;
  /** For everything together. */
  readonly totalMs: number;
  /** A source slower than `minBytesPerSecond` over so long is given up. */
  readonly floorMs: number;
  readonly minBytesPerSecond: number;
}

const defaultDeadlines: Deadlines = {
  connectMs: 5_000,
  headersMs: 10_000,
  idleMs: 30_000,
  totalMs: 3_600_000,
  floorMs: 30_000,
  minBytesPerSecond: 10 * 1024,
};

const maxRedirects = 5;
const maxResumes = 3;
const userAgent = 'Mozilla/5.0 (compatible; TMLSR)';

export interface FetchOptions {
  readonly onProgress: (receivedBytes: number, totalBytes: number | null) => void;
  readonly signal: AbortSignal;
}

/** A body that is being read, and what its server said of it. */
interface OpenSource {
  readonly body: Readable;
  /** Bytes of the whole source, where the server tells. */
  readonly size: number | null;
  /** A strong validator, with which the rest can be asked for. */
  readonly etag: string | null;
  /** Where the body begins in the source. */
  readonly start: number;
}

/** Fetches what clients name, from a network that is not trusted, onto our disk. */
export class SourceFetcher implements AsyncDisposable {
  readonly #allow: SourceAllow;
  readonly #maxBytes: number;
  readonly #deadlines: Deadlines;
  readonly #agent: Agent;

  constructor({ allow, maxBytes, deadlines, lookup }: SourceFetcherOptions) {
    this.#allow = allow;
    this.#maxBytes = maxBytes;
    this.#deadlines = { ...defaultDeadlines, ...deadlines };
    this.#agent = createGuardedAgent({ allow, ...this.#deadlines, ...(lookup ? { lookup } : {}) });
  }

  /**
   * Streams the source into a new file, following redirects and taking up a broken transfer where
   * the server allows it. The file is gone after a failure.
   *
   * @throws GatewayError with a `source_…` code; the signal's reason when it aborts.
   */
  async fetch(
    url: string,
    path: string,
    options: FetchOptions,
  ): Promise<{ bytes: number; sha256: string }> {
    const deadline = AbortSignal.timeout(this.#deadlines.totalMs);
    const signal = AbortSignal.any([options.signal, deadline]);
    await using file = await openNew(path);
    try {
      const sink = new Sink(file, this.#maxBytes, options.onProgress);
      await this.#transfer(url, sink, signal);
      if (sink.bytes === 0) throw sourceEmpty();
      return { bytes: sink.bytes, sha256: sink.digest() };
    } catch (error) {
      await rm(path, { force: true });
      options.signal.throwIfAborted();
      throw deadline.aborted ? sourceTimeout(error) : error;
    }
  }

  async #transfer(url: string, sink: Sink, signal: AbortSignal): Promise<void> {
    let source = await this.#open(url, null, signal);
    for (let resumes = 0; ; resumes += 1) {
      try {
        return await this.#read(source, sink, signal);
      } catch (error) {
        const isWorthIt = resumes < maxResumes && source.etag !== null && isBroken(error);
        if (signal.aborted || !isWorthIt) throw error;
        const resume = { start: sink.bytes, etag: source.etag as string };
        const rest = await this.#open(url, resume, signal);
        // The server sends all of it again, or of something else: it does not go with what we have.
        if (!continues(rest, source, sink.bytes)) {
          rest.body.on('error', () => {}).destroy();
          throw error;
        }
        source = rest;
      }
    }
  }

  async #open(
    url: string,
    resume: { start: number; etag: string } | null,
    signal: AbortSignal,
  ): Promise<OpenSource> {
    let target = validateSourceUrl(url, this.#allow);
    for (let hops = 0; ; hops += 1) {
      const response = await this.#request(target, resume, signal);
      const { statusCode, headers } = response;
      if (statusCode === 200 || (statusCode === 206 && resume)) return toSource(response);
      response.body.on('error', () => {}).destroy();
      const location = headers.location;
      if (statusCode < 300 || statusCode > 399 || typeof location !== 'string') {
        throw fromStatus(statusCode);
      }
      if (hops === maxRedirects) throw fromStatus(statusCode);
      const next = URL.parse(location, target.href)?.href ?? location;
      if (target.protocol === 'https:' && next.startsWith('http:')) throw fromStatus(statusCode);
      target = validateSourceUrl(next, this.#allow);
    }
  }

  async #request(
    target: URL,
    resume: { start: number; etag: string } | null,
    signal: AbortSignal,
  ): Promise<Dispatcher.ResponseData> {
    const response = request(target.href, {
      dispatcher: this.#agent,
      signal,
      headers: {
        'user-agent': userAgent,
        accept: 'image/*, video/*, */*;q=0.1',
        // A compressed body could unpack to anything.
        'accept-encoding': 'identity',
        ...(resume ? { range: `bytes=${resume.start}-`, 'if-range': resume.etag } : {}),
      },
    });
    return await response.catch((error) => {
      throw fromNetwork(error);
    });
  }

  async #read(source: OpenSource, sink: Sink, signal: AbortSignal): Promise<void> {
    const { body, size } = source;
    if (size !== null && size > this.#maxBytes) {
      body.on('error', () => {}).destroy();
      throw sourceTooLarge(this.#maxBytes);
    }
    const floor = new ThroughputFloor(this.#deadlines);
    for await (const chunk of chunksOf(body)) {
      signal.throwIfAborted();
      await sink.write(chunk, size);
      floor.check(chunk.length);
    }
    if (size !== null && sink.bytes !== size) throw interrupted();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.destroy();
  }
}

function toSource({ statusCode, headers, body }: Dispatcher.ResponseData): OpenSource {
  const encoding = headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity') {
    body.on('error', () => {}).destroy();
    throw new GatewayError('source_failed', 'The source is sent compressed, which is not accepted');
  }
  const etag =
    typeof headers.etag === 'string' && headers.etag.startsWith('"') ? headers.etag : null;
  if (statusCode === 206) {
    const [, start, total] =
      /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(`${headers['content-range']}`) ?? [];
    return { body, etag, start: Number(start ?? -1), size: Number(total) || null };
  }
  const length = headers['content-length'];
  return { body, etag, start: 0, size: length === undefined ? null : Number(length) };
}

/** Whether the rest is of the same source, from where the first part of it ended. */
function continues(rest: OpenSource, first: OpenSource, receivedBytes: number): boolean {
  if (receivedBytes === 0) return rest.start === 0;
  return (
    rest.start === receivedBytes &&
    (rest.etag ?? first.etag) === first.etag &&
    (rest.size ?? first.size) === (first.size ?? rest.size)
  );
}

function isBroken(error: unknown): boolean {
  return error instanceof GatewayError && error.code === 'source_interrupted';
}

/** What goes wrong with the body is the source's fault; what goes wrong with its reader is not. */
async function* chunksOf(body: Readable): AsyncGenerator<Buffer> {
  try {
    yield* body;
  } catch (error) {
    throw fromBody(error);
  }
}

/** A file of that name is another's, and stays. */
async function openNew(path: string): Promise<FileHandle> {
  return await open(path, 'wx').catch((error) => {
    throw fromDisk(error);
  });
}

/** Counts and hashes what goes into the file. A length that was announced is only a claim. */
class Sink {
  readonly #file: FileHandle;
  readonly #maxBytes: number;
  readonly #onProgress: FetchOptions['onProgress'];
  readonly #hash = createHash('sha256');
  #bytes = 0;

  constructor(file: FileHandle, maxBytes: number, onProgress: FetchOptions['onProgress']) {
    this.#file = file;
    this.#maxBytes = maxBytes;
    this.#onProgress = onProgress;
  }

  get bytes(): number {
    return this.#bytes;
  }

  digest(): string {
    return this.#hash.digest('hex');
  }

  async write(chunk: Buffer, total: number | null): Promise<void> {
    if (this.#bytes + chunk.length > this.#maxBytes) throw sourceTooLarge(this.#maxBytes);
    // Unlike `write`, it goes on until all is written, or there is no room.
    await this.#file.appendFile(chunk).catch((error) => {
      throw fromDisk(error);
    });
    this.#hash.update(chunk);
    this.#bytes += chunk.length;
    this.#onProgress(this.#bytes, total);
  }
}

/** A source that drips just fast enough for the idle deadline would hold its place for days. */
class ThroughputFloor {
  readonly #deadlines: Deadlines;
  #since = performance.now();
  #bytes = 0;

  constructor(deadlines: Deadlines) {
    this.#deadlines = deadlines;
  }

  check(bytes: number): void {
    const { floorMs, minBytesPerSecond } = this.#deadlines;
    this.#bytes += bytes;
    const elapsedMs = performance.now() - this.#since;
    if (elapsedMs < floorMs) return;
    if (this.#bytes < (minBytesPerSecond * elapsedMs) / 1000) throw sourceTimeout(null);
    this.#since = performance.now();
    this.#bytes = 0;
  }
}
