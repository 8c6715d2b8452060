import type dns from 'node:dns';
import { rm } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { type Dispatcher, request } from 'undici';
import { GatewayError } from '../core/errors.ts';
import { realTempo, type Tempo } from '../core/tempo.ts';
import { aboveFloor, type Floor } from '../timing/floor.ts';
import { createGuardedAgent } from './guarded-agent.ts';
import { fromBody, fromNetwork, fromStatus, interrupted, sourceTimeout } from './source-errors.ts';
import { type FetchedSource, SourceFile, type SourceLimits } from './source-file.ts';
import type { SourceAllow } from './source-policy.ts';
import { validateSourceUrl } from './source-url.ts';

export interface SourceFetcherOptions extends SourceLimits {
  readonly allow: SourceAllow;
  /** What servers are told that asks them. */
  readonly userAgent?: string;
  readonly deadlines?: Partial<Deadlines>;
  readonly lookup?: typeof dns.lookup;
}

export type Deadlines = Omit<Tempo['source'], 'peekDeadlineMs'> & Floor;

const defaultDeadlines: Deadlines = { ...realTempo.source, minBytesPerSecond: 10 * 1024 };

const maxRedirects = 5;
const maxResumes = 3;
const maxPauses = 3;
/** Some servers answer none but browsers. */
export const defaultUserAgent = 'Mozilla/5.0 (compatible; TMLSR)';

export interface FetchOptions {
  readonly onProgress: (receivedBytes: number, totalBytes: number | null) => void;
  readonly wantsSha256?: boolean;
  readonly signal: AbortSignal;
}

/** What of the source is asked for, as headers; all of it without any. */
interface Part {
  readonly range?: string;
  readonly 'if-range'?: string;
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
  readonly #limits: SourceLimits;
  readonly #deadlines: Deadlines;
  readonly #userAgent: string;
  readonly #agent: Dispatcher;

  constructor(options: SourceFetcherOptions) {
    const { allow, deadlines, lookup, userAgent = defaultUserAgent, ...limits } = options;
    this.#allow = allow;
    this.#limits = limits;
    this.#deadlines = { ...defaultDeadlines, ...deadlines };
    this.#userAgent = userAgent;
    this.#agent = createGuardedAgent({ allow, ...this.#deadlines, ...(lookup ? { lookup } : {}) });
  }

  /**
   * Streams the source into a new file, following redirects and taking up a broken transfer where
   * the server allows it. The file is gone after a failure.
   *
   * @throws GatewayError with a `source_…` code; the signal's reason when it aborts.
   */
  async fetch(url: string, path: string, options: FetchOptions): Promise<FetchedSource> {
    const deadline = AbortSignal.timeout(this.#deadlines.totalDeadlineMs);
    const signal = AbortSignal.any([options.signal, deadline]);
    await using file = await SourceFile.create(path, { limits: this.#limits, ...options });
    try {
      await this.#transfer(url, file, signal);
      return await file.finish();
    } catch (error) {
      await rm(path, { force: true });
      options.signal.throwIfAborted();
      throw deadline.aborted ? sourceTimeout(error) : error;
    }
  }

  /**
   * The first bytes of the source, as many of these as it has. Where its server knows no ranges, it is left in
   * the middle of the body.
   *
   * @throws GatewayError with a `source_…` code; the signal's reason.
   */
  async peek(url: string, bytes: number, signal: AbortSignal): Promise<Buffer> {
    const { body } = await this.#open(url, { range: `bytes=0-${bytes - 1}` }, signal);
    return await firstBytes(body, bytes);
  }

  async #transfer(url: string, file: SourceFile, signal: AbortSignal): Promise<void> {
    let source = await this.#open(url, {}, signal);
    for (let resumes = 0; ; resumes += 1) {
      try {
        return await this.#read(source, file, signal);
      } catch (error) {
        const isWorthIt = resumes < maxResumes && source.etag !== null && isBroken(error);
        if (signal.aborted || !isWorthIt) throw error;
        const resume = { range: `bytes=${file.bytes}-`, 'if-range': source.etag as string };
        const rest = await this.#open(url, resume, signal);
        // The server sends all of it again, or of something else: it does not go with what we have.
        if (!continues(rest, source, file.bytes)) {
          rest.body.on('error', () => {}).destroy();
          throw error;
        }
        source = rest;
      }
    }
  }

  async #open(url: string, part: Part, signal: AbortSignal): Promise<OpenSource> {
    let target = validateSourceUrl(url, this.#allow);
    let pauses = 0;
    for (let hops = 0; ; ) {
      const response = await this.#request(target, part, signal);
      const { statusCode, headers } = response;
      if (statusCode === 200 || (statusCode === 206 && part.range)) return toSource(response);
      response.body.on('error', () => {}).destroy();
      const pauseMs = pauses < maxPauses ? this.#pauseMs(response, pauses) : null;
      if (pauseMs !== null) {
        pauses += 1;
        await delay(pauseMs, undefined, { signal });
        continue;
      }
      const location = headers.location;
      if (statusCode < 300 || statusCode > 399 || typeof location !== 'string') {
        throw fromStatus(statusCode);
      }
      if (hops === maxRedirects) throw fromStatus(statusCode);
      hops += 1;
      const next = URL.parse(asWritten(location), target.href)?.href ?? location;
      if (target.protocol === 'https:' && next.startsWith('http:')) throw fromStatus(statusCode);
      target = validateSourceUrl(next, this.#allow);
    }
  }

  /** Before a server that is busy is asked again; `null` where it is not, or says that it will be for long. */
  #pauseMs({ statusCode, headers }: Dispatcher.ResponseData, pauses: number): number | null {
    if (statusCode !== 429 && statusCode !== 503) return null;
    const { busyPauseMs, longestBusyPauseMs } = this.#deadlines;
    const wishedMs = retryAfterMs(headers['retry-after'], Date.now()) ?? busyPauseMs * 2 ** pauses;
    return wishedMs <= longestBusyPauseMs ? wishedMs : null;
  }

  async #request(target: URL, part: Part, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
    const response = request(target.href, {
      dispatcher: this.#agent,
      signal,
      headers: {
        'user-agent': this.#userAgent,
        accept: 'image/*, video/*, */*;q=0.1',
        // A compressed body could unpack to anything.
        'accept-encoding': 'identity',
        ...part,
      },
    });
    return await response.catch((error) => {
      throw fromNetwork(error);
    });
  }

  async #read({ body, size }: OpenSource, file: SourceFile, signal: AbortSignal): Promise<void> {
    try {
      file.admit(size ?? 0);
    } catch (error) {
      body.on('error', () => {}).destroy();
      throw error;
    }
    // One that drips just fast enough for the idle deadline would hold its place for days.
    const watched = aboveFloor(body, this.#deadlines, () => sourceTimeout(null));
    for await (const chunk of chunksOf(watched)) {
      signal.throwIfAborted();
      await file.write(chunk, size);
    }
    if (size !== null && file.bytes !== size) throw interrupted();
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

/** Undici reads a header's bytes as Latin-1; browsers send those that are no ASCII as they are. */
function asWritten(location: string): string {
  return location.replace(
    /[\x80-\xff]/g,
    (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** Seconds, or an instant (RFC 9110 §10.2.3); `null` for neither. */
function retryAfterMs(header: string | string[] | undefined, now: number): number | null {
  const text = `${header ?? ''}`.trim();
  if (/^\d+$/.test(text)) return Number(text) * 1_000;
  const at = Date.parse(text);
  return Number.isNaN(at) ? null : Math.max(0, at - now);
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

/** The beginning of a body, of which no more is read. */
export async function firstBytes(body: Readable, bytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let read = 0;
  for await (const chunk of chunksOf(body)) {
    chunks.push(chunk);
    read += chunk.length;
    if (read >= bytes) break;
  }
  return Buffer.concat(chunks).subarray(0, bytes);
}

/** What goes wrong with the body is the source's fault; what goes wrong with its reader is not. */
async function* chunksOf(body: Readable): AsyncGenerator<Buffer> {
  try {
    yield* body;
  } catch (error) {
    throw fromBody(error);
  }
}
