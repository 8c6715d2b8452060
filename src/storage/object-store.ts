import type { Readable } from 'node:stream';

/**
 * Where results are kept. Drivers: `disk`, `oss` and `s3`; all pass `test/suites/object-store.suite.ts`.
 * A key is a relative path of segments joined by `/`, none of them empty, `.` or `..`.
 */
export interface ObjectStore {
  /**
   * Stores the bytes of `source` under `key`, replacing what was there, in constant memory.
   * A driver may open the source again, also at an offset, to repeat what failed.
   * Nothing stays behind after a failure, unless the caller means to go on (`options.resumes`).
   *
   * @throws GatewayError `storage_failed` when the store fails for good; `output_truncated` when the
   *   source ended short of its length; whatever `source.open` throws; the signal's reason.
   */
  put(key: string, source: ByteSource, options: PutOptions): Promise<StoredObject>;

  /** Opens the object, or a part of it; `null` when there is none. */
  open(key: string, range: ByteRange | null, signal: AbortSignal): Promise<OpenObject | null>;

  /** Size and type, or `null` when there is no such object. */
  stat(key: string, signal: AbortSignal): Promise<ObjectStat | null>;

  /**
   * Makes another object of the same bytes and type, which stays when the first one goes, without
   * bringing them here where the store can do that. `false` when there is nothing under `fromKey`. A
   * failure may leave the copy behind, but never a part of it.
   *
   * @throws GatewayError `storage_failed`; the signal's reason.
   */
  copy(fromKey: string, toKey: string, signal: AbortSignal): Promise<boolean>;

  /** Removes the object; it is no error when there is none. */
  delete(key: string, signal: AbortSignal): Promise<void>;

  /** Removes what a `put` that was to be resumed left unfinished; it is no error when there is none. */
  abandon(key: string, signal: AbortSignal): Promise<void>;

  /**
   * The address at which a client may fetch the object; it may hold for a time only. A path where the gateway
   * serves it and nobody said by which name clients reach that.
   */
  urlOf(key: string): Promise<string>;

  /**
   * An address at which anybody may store the object by one PUT, for so many seconds; `null` where
   * the store has none.
   */
  presignPut(
    key: string,
    contentType: string,
    expiresSeconds: number,
  ): Promise<PresignedPut | null>;

  /** The key of the object that an address of this store means; `null` for any other address. */
  keyOf(url: string): string | null;

  /** The keys of all objects, in no order; left out where a list costs a request for every thousand. */
  keys?(signal: AbortSignal): AsyncIterable<string>;

  /**
   * Makes sure that it can be written to, where `stat` does not show that.
   *
   * @throws GatewayError `storage_failed`, `storage_full`.
   */
  check?(): Promise<void>;

  /** Whether its addresses are the gateway's own, which then serves the objects under `/objects/`. */
  readonly isServedByGateway?: boolean;
}

/** What may be read as a source, by the credentials of the gateway. */
export type OwnSources = Pick<ObjectStore, 'open' | 'keyOf'>;

export interface PresignedPut {
  readonly url: string;
  /** They have to be sent as they are. */
  readonly headers: Readonly<Record<string, string>>;
}

/** What takes one result: a store, or an address that a client gave. */
export type OutputTarget = Pick<ObjectStore, 'put' | 'abandon'>;

/** Bytes that can be read more than once: a file, or a file behind HTTP with Range. */
export interface ByteSource {
  /** Length in bytes. */
  readonly size: number;
  /** A fresh stream of the range, or of everything. */
  open(range: ByteRange | null, signal: AbortSignal): Promise<Readable>;
}

/** Offsets in bytes, both inclusive, as in an HTTP Range. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

export interface PutOptions {
  readonly contentType: string;
  /** Called as bytes are stored, with their sum so far. May fall back when a part is repeated. */
  readonly onProgress?: (storedBytes: number) => void;
  /**
   * A later `put` of the key, also by another process, goes on from the parts that are there. Whoever
   * gives up has to `abandon` them.
   */
  readonly resumes?: boolean;
  readonly signal: AbortSignal;
}

export interface StoredObject {
  readonly key: string;
  readonly size: number;
  /** Hex digest of the bytes that were stored. */
  readonly sha256: string;
}

export interface ObjectStat {
  readonly size: number;
  readonly contentType: string;
  readonly modifiedAt: Date;
  /** A strong validator, quoted as in an ETag header. */
  readonly etag: string;
}

export interface OpenObject extends ObjectStat {
  /** The bytes of the range that was asked for. */
  readonly body: Readable;
}
