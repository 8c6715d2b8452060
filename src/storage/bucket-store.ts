import { createHash } from 'node:crypto';
import { realTempo, type Tempo } from '../core/tempo.ts';
import type { Bucket, BucketCall, Part, Receipt, StoredPart, Upload } from './bucket.ts';
import { BucketError, checksumMismatch, deadlinePassed } from './bucket-error.ts';
import { Digest } from './digest.ts';
import { checkObjectKey, encodeObjectKey, keyOfUrl } from './object-key.ts';
import type {
  ByteRange,
  ByteSource,
  ObjectStat,
  ObjectStore,
  OpenObject,
  PresignedPut,
  PutOptions,
  StoredObject,
} from './object-store.ts';
import { readSource } from './read-source.ts';
import { type RetryPolicy, retry } from './retry.ts';
import { sendSource } from './send-source.ts';

type StoreTempo = Tempo['store'];

export interface BucketStoreOptions {
  /** Stands before every key: `outputs/`. */
  readonly prefix?: string;
  /** For how long links hold, seconds; `null`: they are not signed, and hold for ever. */
  readonly signedUrlSeconds?: number | null;
  readonly tuning?: Partial<BucketTuning>;
}

export interface BucketTuning extends StoreTempo, RetryPolicy {
  /** Up to here an object goes up in one request. */
  readonly singlePutMaxBytes: number;
  /** Size of the parts of larger ones; OSS takes none under 100 KiB but the last, S3 none under 5 MiB. */
  readonly partBytes: number;
  /** The same for copies within the bucket; `null`: as much as the service copies in one request. */
  readonly singleCopyMaxBytes: number | null;
  readonly copyPartBytes: number;
  /** Parts that are read or sent at a time; each takes `partBytes` of memory. */
  readonly partsInFlight: number;
  /** How slow a transfer may be before it is given up. */
  readonly minBytesPerSecond: number;
}

const defaultTuning: BucketTuning = {
  singlePutMaxBytes: 32 * 1024 * 1024,
  partBytes: 8 * 1024 * 1024,
  singleCopyMaxBytes: null,
  copyPartBytes: 512 * 1024 * 1024,
  partsInFlight: 3,
  minBytesPerSecond: 256 * 1024,
  attempts: 5,
  ...realTempo.store,
};

/** OSS and S3 join at most so many parts to an object. */
const maxParts = 10_000;

/**
 * Objects in a bucket. The bucket's client speaks the protocol; deadlines, retries, aborts, resuming
 * and checksums are ours, because the clients have none that hold: `ali-oss` counts its `timeout` over
 * the whole transfer, passes over streams, timeouts and 5xx in its `retryMax` and never compares a
 * checksum; neither it nor `@aws-sdk/lib-storage` goes on with the parts that another process sent.
 */
export class BucketStore implements ObjectStore, AsyncDisposable {
  readonly #bucket: Bucket;
  readonly #prefix: string;
  readonly #signedUrlSeconds: number | null;
  readonly #tuning: BucketTuning;

  constructor(bucket: Bucket, options: BucketStoreOptions = {}) {
    const prefix = (options.prefix ?? '').replace(/^\/+|\/+$/g, '');
    this.#bucket = bucket;
    this.#prefix = prefix && `${prefix}/`;
    this.#signedUrlSeconds = options.signedUrlSeconds ?? null;
    this.#tuning = { ...defaultTuning, ...options.tuning };
  }

  async put(key: string, source: ByteSource, options: PutOptions): Promise<StoredObject> {
    const name = this.#nameOf(key);
    const digest = new Digest(this.#bucket.checksum);
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
    return await unlessMissing(
      this.#request(signal, 0, (call) => this.#bucket.get(name, range, call)),
    );
  }

  async stat(key: string, signal: AbortSignal): Promise<ObjectStat | null> {
    const found = await this.#head(this.#nameOf(key), signal);
    if (!found) return null;
    const { size, contentType, modifiedAt, etag } = found;
    return { size, contentType, modifiedAt, etag };
  }

  async copy(fromKey: string, toKey: string, signal: AbortSignal): Promise<boolean> {
    const [from, to] = [this.#nameOf(fromKey), this.#nameOf(toKey)];
    const found = await this.#head(from, signal);
    if (!found) return false;
    // Services refuse to copy an object to itself.
    if (from === to) return true;
    const copied = await unlessMissing(
      found.size <= (this.#tuning.singleCopyMaxBytes ?? this.#bucket.maxCopyBytes)
        ? this.#copyWhole(from, to, found, signal)
        : this.#copyInParts(from, to, found, signal),
    );
    return copied !== null;
  }

  async delete(key: string, signal: AbortSignal): Promise<void> {
    const name = this.#nameOf(key);
    await unlessMissing(this.#request(signal, 0, (call) => this.#bucket.delete(name, call)));
  }

  async abandon(key: string, signal: AbortSignal): Promise<void> {
    for (const upload of await this.#unfinished(this.#nameOf(key), signal)) {
      await this.#abort(upload, signal);
    }
  }

  async urlOf(key: string): Promise<string> {
    const name = this.#nameOf(key);
    const expiresSeconds = this.#signedUrlSeconds;
    if (expiresSeconds === null) return `${this.#bucket.publicUrl}/${encodeObjectKey(name)}`;
    return await this.#bucket.sign({ method: 'GET', name, headers: {} }, expiresSeconds);
  }

  async presignPut(
    key: string,
    contentType: string,
    expiresSeconds: number,
  ): Promise<PresignedPut> {
    const headers = { 'Content-Type': contentType };
    const request = { method: 'PUT', name: this.#nameOf(key), headers } as const;
    return { url: await this.#bucket.sign(request, expiresSeconds), headers };
  }

  keyOf(url: string): string | null {
    return keyOfUrl(url, `${this.#bucket.publicUrl}/${encodeObjectKey(this.#prefix)}`);
  }

  /** Cuts what is still under way. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#bucket[Symbol.asyncDispose]();
  }

  /** One request, whose every try reads the source anew. */
  async #putWhole(
    name: string,
    source: ByteSource,
    digest: Digest,
    options: PutOptions,
  ): Promise<void> {
    await this.#seal(name, source, digest, options, () =>
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
  ): Promise<Receipt> {
    const onChunk = {
      before: (chunk: Buffer) => digest.update(chunk),
      after: () => onProgress?.(digest.size),
    };
    return await sendSource(source, signal, onChunk, {
      send: (stream, cut) => {
        const body = { stream, size: source.size, contentType };
        return this.#bucket.put(name, body, this.#callWith(cut, source.size));
      },
      floorDeadlineMs: this.#tuning.floorDeadlineMs,
      tooSlow: () => new BucketError({ code: deadlinePassed, status: null, requestId: null }),
    });
  }

  /** An upload of several requests, each of them repeated by itself. */
  async #putInParts(
    name: string,
    source: ByteSource,
    digest: Digest,
    options: PutOptions,
  ): Promise<void> {
    const { contentType, resumes, signal } = options;
    const begun = resumes ? await this.#takeUp(name, signal) : null;
    // A lost answer leaves an upload that nobody knows, unless a later one resumes; otherwise the
    // bucket's lifecycle rule has to remove it.
    const upload = begun?.upload ?? {
      name,
      id: await this.#request(signal, 0, (call) => this.#bucket.begin(name, contentType, call)),
    };
    try {
      const there = new Map(begun?.parts.map((part) => [part.number, part]));
      const parts = await this.#sendParts(upload, there, source, digest, options);
      await this.#seal(name, source, digest, options, async () => {
        const receipt = await this.#request(signal, 0, (call) =>
          this.#bucket.complete(upload, parts, call),
        );
        verify(receipt, digest);
      });
    } catch (error) {
      if (!resumes) await this.#cleanUp((cleaning) => this.#abort(upload, cleaning));
      throw error;
    }
  }

  async #copyWhole(from: string, to: string, found: Found, signal: AbortSignal): Promise<Receipt> {
    return await this.#retry(signal, async () => {
      const receipt = await this.#bucket.copy(from, to, this.#callWith(signal, found.size));
      verifyCopy(receipt, found);
      return receipt;
    });
  }

  /** Nobody goes on with it: the service copies fast. */
  async #copyInParts(
    from: string,
    to: string,
    found: Found,
    signal: AbortSignal,
  ): Promise<Receipt> {
    const { size, contentType } = found;
    const { copyPartBytes } = this.#tuning;
    const id = await this.#request(signal, 0, (call) => this.#bucket.begin(to, contentType, call));
    const upload = { name: to, id };
    try {
      const parts: Part[] = [];
      for (let start = 0, number = 1; start < size; start += copyPartBytes, number += 1) {
        const range = { start, end: Math.min(start + copyPartBytes, size) - 1 };
        const etag = await this.#request(signal, copyPartBytes, (call) =>
          this.#bucket.copyPart(upload, { number, from, range }, call),
        );
        parts.push({ number, etag });
      }
      const receipt = await this.#request(signal, 0, (call) =>
        this.#bucket.complete(upload, parts, call),
      );
      verifyCopy(receipt, found);
      return receipt;
    } catch (error) {
      await this.#cleanUp((cleaning) => this.#abort(upload, cleaning));
      throw error;
    }
  }

  /** The newest unfinished upload of the name with its parts; older ones are given up. */
  async #takeUp(
    name: string,
    signal: AbortSignal,
  ): Promise<{ upload: Upload; parts: StoredPart[] } | null> {
    const [upload, ...stale] = await this.#unfinished(name, signal);
    for (const each of stale) await this.#abort(each, signal);
    if (!upload) return null;
    const parts = await unlessMissing(
      this.#request(signal, 0, (call) => this.#bucket.parts(upload, call)),
    );
    return parts && { upload, parts };
  }

  /** A service or a key that does not list uploads makes no upload fail: it begins anew each time. */
  async #unfinished(name: string, signal: AbortSignal): Promise<Upload[]> {
    try {
      return await this.#request(signal, 0, (call) => this.#bucket.uploads(name, call));
    } catch (error) {
      if (error instanceof BucketError && (error.isNotForUs || error.isMissing)) return [];
      throw error;
    }
  }

  /**
   * Reads the source once, in order, because a checksum needs that, into a few buffers that take
   * turns; a part that fails is sent again from its buffer, and one that is there already is not sent.
   */
  async #sendParts(
    upload: Upload,
    there: ReadonlyMap<number, StoredPart>,
    source: ByteSource,
    digest: Digest,
    { signal, onProgress }: PutOptions,
  ): Promise<Part[]> {
    const halt = new AbortController();
    const cut = AbortSignal.any([signal, halt.signal]);
    const freeBuffers: Buffer[] = [];
    const sent: Part[] = [];
    let storedBytes = 0;

    const partBytes = Math.max(this.#tuning.partBytes, Math.ceil(source.size / maxParts));
    async function* readParts(): AsyncGenerator<ReadPart> {
      for (let start = 0, number = 1; start < source.size; start += partBytes, number += 1) {
        const end = Math.min(start + partBytes, source.size) - 1;
        const buffer = freeBuffers.pop() ?? Buffer.allocUnsafeSlow(partBytes);
        let filled = 0;
        for await (const chunk of readSource(source, { start, end }, cut)) {
          digest.update(chunk);
          filled += chunk.copy(buffer, filled);
        }
        yield { number, bytes: buffer.subarray(0, filled), md5: digest.endPart(), buffer };
      }
    }

    // An async generator hands out one part after the other, however many ask for the next.
    const parts = readParts();
    const sendUntilDone = async (): Promise<void> => {
      for (let next = await parts.next(); !next.done; next = await parts.next()) {
        const part = next.value;
        const { number, bytes, buffer } = part;
        const known = there.get(number);
        const etag =
          known && isSame(known, part)
            ? known.etag
            : await this.#request(cut, bytes.length, (call) =>
                this.#bucket.putPart(upload, part, call),
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
    return sent.sort((a, b) => a.number - b.number);
  }

  /**
   * Sends what makes the object appear. An answer may be lost although the object is there: then the
   * object itself is asked. Whoever gives up takes along what was stored meanwhile, unless another
   * may have gone on with it and finished.
   */
  async #seal(
    name: string,
    source: ByteSource,
    digest: Digest,
    { resumes, signal }: PutOptions,
    send: () => Promise<void>,
  ): Promise<void> {
    try {
      await send();
    } catch (error) {
      const uncertain = signal.aborted || (error instanceof BucketError && error.isUncertain);
      const isStored =
        uncertain && digest.size === source.size && (await this.#isStored(name, digest));
      if (isStored && !signal.aborted) return;
      const isWrong = error instanceof BucketError && error.isMismatch;
      if (isWrong || (isStored && !resumes)) {
        await this.#cleanUp((cleaning) =>
          this.#request(cleaning, 0, (call) => this.#bucket.delete(name, call)),
        );
      }
      throw error;
    }
  }

  async #isStored(name: string, digest: Digest): Promise<boolean> {
    const found = await this.#cleanUp((cleaning) => this.#head(name, cleaning));
    return found?.checksum === digest.expected();
  }

  async #abort(upload: Upload, signal: AbortSignal): Promise<void> {
    await unlessMissing(this.#request(signal, 0, (call) => this.#bucket.abort(upload, call)));
  }

  /** After a failure: within a deadline of its own, and without another failure. */
  async #cleanUp<T>(operation: (cleaning: AbortSignal) => Promise<T>): Promise<T | null> {
    return await operation(AbortSignal.timeout(this.#tuning.cleanUpDeadlineMs)).catch(() => null);
  }

  async #head(name: string, signal: AbortSignal): Promise<Found | null> {
    return await unlessMissing(this.#request(signal, 0, (call) => this.#bucket.head(name, call)));
  }

  /** A request that can be repeated as it is. */
  async #request<T>(
    signal: AbortSignal,
    bodyBytes: number,
    send: (call: BucketCall) => Promise<T>,
  ): Promise<T> {
    return await this.#retry(signal, () => send(this.#callWith(signal, bodyBytes)));
  }

  async #retry<T>(signal: AbortSignal, operation: () => Promise<T>): Promise<T> {
    const { renewsCredentials } = this.#bucket;
    const isTransient = (error: unknown) =>
      error instanceof BucketError &&
      (error.isTransient || (renewsCredentials && error.isOutdated));
    return await retry(this.#tuning, isTransient, signal, operation);
  }

  #callWith(signal: AbortSignal, bodyBytes: number): BucketCall {
    const { requestDeadlineMs, minBytesPerSecond } = this.#tuning;
    const deadlineMs = Math.ceil(requestDeadlineMs + (bodyBytes / minBytesPerSecond) * 1000);
    return { signal, deadlineMs };
  }

  #nameOf(key: string): string {
    checkObjectKey(key);
    return this.#prefix + key;
  }
}

type Found = ObjectStat & Receipt;

interface ReadPart {
  readonly number: number;
  readonly bytes: Buffer;
  readonly md5: Buffer | null;
  /** What `bytes` is a view of. */
  readonly buffer: Buffer;
}

/**
 * Whether the service has the part already. Its ETag is the MD5, but for some services and buckets
 * that encrypt; there the part is sent again.
 */
function isSame(known: StoredPart, { bytes, md5 }: ReadPart): boolean {
  if (known.size !== bytes.length) return false;
  const ours = (md5 ?? createHash('md5').update(bytes).digest()).toString('hex');
  return known.etag.replaceAll('"', '').toLowerCase() === ours;
}

/** An ETag that is made of those of parts tells nothing of a copy that was made of others. */
function verifyCopy({ checksum, requestId }: Receipt, found: Found): void {
  const tells = (each: string | null) => each !== null && !each.includes('-');
  if (!tells(checksum) || !tells(found.checksum) || checksum === found.checksum) return;
  throw new BucketError({ code: checksumMismatch, status: 200, requestId });
}

function verify({ checksum, requestId }: Receipt, digest: Digest): void {
  if (checksum === null || checksum === digest.expected()) return;
  throw new BucketError({ code: checksumMismatch, status: 200, requestId });
}

async function unlessMissing<T>(looking: Promise<T>): Promise<T | null> {
  try {
    return await looking;
  } catch (error) {
    if (error instanceof BucketError && error.isMissing) return null;
    throw error;
  }
}
