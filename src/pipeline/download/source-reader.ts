import { rm } from 'node:fs/promises';
import { GatewayError } from '../../core/errors.ts';
import { formatOfName, type MediaKind, mediaKindOf } from '../../core/media.ts';
import { guessableIdOf } from '../../core/result-key.ts';
import type { Tempo } from '../../core/tempo.ts';
import { uploadIdOf, uploadKey } from '../../core/upload.ts';
import { type FetchOptions, firstBytes, type SourceFetcher } from '../../media/fetch-source.ts';
import { sniffBuffer } from '../../media/sniff.ts';
import { interrupted, sourceTimeout } from '../../media/source-errors.ts';
import { type FetchedSource, SourceFile, type SourceLimits } from '../../media/source-file.ts';
import type { ByteRange, ObjectStore, OpenObject, OwnSources } from '../../storage/object-store.ts';
import { aboveFloor, type Floor, slowestBytesPerSecond } from '../../timing/floor.ts';

export interface SourceReaderParts {
  readonly fetcher: SourceFetcher;
  /** Where uploads are. */
  readonly store: Pick<ObjectStore, 'open'>;
  /** What else may be read by our own credentials. */
  readonly ownSources: OwnSources;
  /** Whose task or upload it is; `null` for what is none. */
  readonly tenantOf: (id: string) => Promise<string | null>;
  /** Of addresses that name objects in buckets, of which only our own is read. */
  readonly bucketSchemes: readonly string[];
  readonly limits: SourceLimits;
  /** Refuses what the fetcher could never fetch. */
  readonly validateUrl: (url: string, field: string) => void;
  readonly tempo: Pick<Tempo['source'], 'totalDeadlineMs' | 'floorDeadlineMs' | 'peekDeadlineMs'>;
}

export interface ReadOptions extends FetchOptions {
  /** Whose source it is; empty where no keys are asked for. */
  readonly tenant: string;
}

const maxResumes = 3;
/** Signatures of pictures and clips lie within this. */
const peekedBytes = 1_024;

/**
 * Brings sources onto our disk: those of the internet by the fetcher, those that lie in our own object
 * store straight from there. Our own credentials open them, and no request of ours goes to ourselves.
 */
export class SourceReader {
  readonly #parts: SourceReaderParts;

  constructor(parts: SourceReaderParts) {
    this.#parts = parts;
  }

  /**
   * Refuses, at the door, an address that could never be read.
   *
   * @throws GatewayError `source_invalid`, `source_refused`.
   */
  check(url: string, field: string): void {
    const { ownSources, bucketSchemes } = this.#parts;
    if (ownSources.keyOf(url) !== null) return;
    if (bucketSchemes.some((scheme) => url.toLowerCase().startsWith(`${scheme}:`))) {
      throw new GatewayError(
        'source_refused',
        'The gateway reads no bucket but its own; give an https:// address, signed where it has to be',
        { field },
      );
    }
    this.#parts.validateUrl(url, field);
  }

  /** Whether it lies in our own store: it can be read again at any time. */
  isOurs(url: string): boolean {
    return uploadIdOf(url) !== null || this.#parts.ownSources.keyOf(url) !== null;
  }

  /**
   * Brings the source into a new file, which is gone after a failure.
   *
   * @throws GatewayError with a `source_…` code, or `storage_failed`; the signal's reason.
   */
  async fetch(url: string, path: string, options: ReadOptions): Promise<FetchedSource> {
    const open = this.#stored(url, options.tenant);
    if (!open) return await this.#parts.fetcher.fetch(url, path, options);
    return await this.#fetchStored(open, path, options);
  }

  /**
   * Whether the source is a picture or a clip, by its name or, where that does not say, by its first bytes;
   * `null` where neither tells it soon.
   */
  async kindOf(url: string, tenant: string, signal: AbortSignal): Promise<MediaKind | null> {
    const named = formatOfName(URL.parse(url)?.pathname ?? url);
    if (named) return mediaKindOf(named);
    const deadline = AbortSignal.timeout(this.#parts.tempo.peekDeadlineMs);
    try {
      const head = await this.#peek(url, tenant, AbortSignal.any([signal, deadline]));
      const format = await sniffBuffer(head);
      return format && mediaKindOf(format);
    } catch {
      // Whoever reads it whole says what is wrong with it.
      signal.throwIfAborted();
      return null;
    }
  }

  async #peek(url: string, tenant: string, signal: AbortSignal): Promise<Buffer> {
    const open = this.#stored(url, tenant);
    if (!open) return await this.#parts.fetcher.peek(url, peekedBytes, signal);
    const found = await open({ start: 0, end: peekedBytes - 1 }, signal);
    return found ? await firstBytes(found.body, peekedBytes) : Buffer.alloc(0);
  }

  /** As `fetch`, an object of our own store. */
  async fetchObject(key: string, path: string, options: FetchOptions): Promise<FetchedSource> {
    return await this.#fetchStored(this.#opener(key), path, options);
  }

  async #fetchStored(
    open: OpenStored,
    path: string,
    options: FetchOptions,
  ): Promise<FetchedSource> {
    const { limits, tempo } = this.#parts;
    const deadline = AbortSignal.timeout(tempo.totalDeadlineMs);
    await using file = await SourceFile.create(path, { limits, ...options });
    try {
      const floor = { ...tempo, minBytesPerSecond: slowestBytesPerSecond };
      await copy(open, file, floor, AbortSignal.any([options.signal, deadline]));
      return await file.finish();
    } catch (error) {
      await rm(path, { force: true });
      options.signal.throwIfAborted();
      throw deadline.aborted ? sourceTimeout(error) : error;
    }
  }

  /**
   * How a source is opened that lies in our own store; `null` for any other. What is another tenant's is not there,
   * unless its address has bits that only those know who were given it.
   */
  #stored(url: string, tenant: string): OpenStored | null {
    const { ownSources } = this.#parts;
    const upload = uploadIdOf(url);
    if (upload !== null) return this.#opener(uploadKey(upload));
    const key = ownSources.keyOf(url);
    if (key === null) return null;
    return async (range, signal) =>
      (await this.#mayRead(key, tenant)) ? await ownSources.open(key, range, signal) : null;
  }

  async #mayRead(key: string, tenant: string): Promise<boolean> {
    const id = guessableIdOf(key);
    if (id === null || tenant === '') return true;
    const owner = await this.#parts.tenantOf(id);
    return owner === null || owner === tenant;
  }

  #opener(key: string): OpenStored {
    return (range, signal) => this.#parts.store.open(key, range, signal);
  }
}

type OpenStored = (range: ByteRange | null, signal: AbortSignal) => Promise<OpenObject | null>;

/** Takes up a transfer that broke, as long as it is of the same object. */
async function copy(
  open: OpenStored,
  file: SourceFile,
  floor: Floor,
  signal: AbortSignal,
): Promise<void> {
  let first: OpenObject | null = null;
  for (let resumes = 0; ; resumes += 1) {
    // It broke behind its last byte.
    if (first && file.bytes === first.size) return;
    const range: ByteRange | null = first && { start: file.bytes, end: first.size - 1 };
    const found = await open(range, signal);
    if (!found) throw gone();
    first ??= found;
    try {
      if (found.etag !== first.etag) throw interrupted();
      file.admit(found.size);
      const body = aboveFloor(found.body, floor, () => sourceTimeout(null));
      for await (const chunk of body) await file.write(chunk, found.size);
      if (file.bytes !== first.size) throw interrupted();
      return;
    } catch (error) {
      found.body.on('error', () => {}).destroy();
      const failure = error instanceof GatewayError ? error : interrupted(error);
      const isBroken = failure.code === 'source_interrupted' && found.etag === first.etag;
      if (signal.aborted || !isBroken || resumes === maxResumes) throw failure;
    }
  }
}

function gone(): GatewayError {
  const message = 'The source is not in the object store, or not any more';
  return new GatewayError('source_not_found', message);
}
