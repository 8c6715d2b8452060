import type { Readable } from 'node:stream';
import type { ServiceChecksum } from './digest.ts';
import type { ByteRange, ObjectStat, OpenObject } from './object-store.ts';

/**
 * One bucket of an object storage, as far as `BucketStore` needs it: every call is one request (a
 * listing may take several), without a retry, and ends with its signal or its deadline.
 *
 * @throws GatewayError `storage_failed` (a `BucketError`), from every call.
 */
export interface Bucket extends AsyncDisposable {
  /** How the service says what it received. */
  readonly checksum: ServiceChecksum;
  /** Whether credentials that have run out are replaced by themselves. */
  readonly renewsCredentials: boolean;
  /** Larger objects are copied in parts. */
  readonly maxCopyBytes: number;
  /** The bucket's address for clients, without a slash at its end. */
  readonly publicUrl: string;

  put(name: string, body: ObjectBody, call: BucketCall): Promise<Receipt>;
  get(name: string, range: ByteRange | null, call: BucketCall): Promise<OpenObject>;
  head(name: string, call: BucketCall): Promise<ObjectStat & Receipt>;
  delete(name: string, call: BucketCall): Promise<void>;
  /** Copies the object within the bucket; its type goes along. */
  copy(from: string, to: string, call: BucketCall): Promise<Receipt>;

  /** Begins an upload in parts; answers its id. */
  begin(name: string, contentType: string, call: BucketCall): Promise<string>;
  /** Answers the ETag of the part. */
  putPart(upload: Upload, part: PartBody, call: BucketCall): Promise<string>;
  /** A part that is in the bucket already; answers its ETag. */
  copyPart(upload: Upload, part: PartCopy, call: BucketCall): Promise<string>;
  complete(upload: Upload, parts: readonly Part[], call: BucketCall): Promise<Receipt>;
  abort(upload: Upload, call: BucketCall): Promise<void>;
  /** The unfinished uploads of the name, the newest first. */
  uploads(name: string, call: BucketCall): Promise<Upload[]>;
  parts(upload: Upload, call: BucketCall): Promise<StoredPart[]>;

  /** An address at which anybody may make the request, for so many seconds. */
  sign(request: SignedRequest, expiresSeconds: number): Promise<string>;
}

export interface BucketCall {
  readonly signal: AbortSignal;
  /** For the whole exchange, or for the head of an answer that is read as a stream. */
  readonly deadlineMs: number;
}

export interface ObjectBody {
  readonly stream: Readable;
  readonly size: number;
  readonly contentType: string;
}

/** What the service says that it stored; `null` where it does not tell. */
export interface Receipt {
  readonly checksum: string | null;
  readonly requestId: string | null;
}

export interface Upload {
  readonly name: string;
  readonly id: string;
}

export interface Part {
  /** 1 to 10000. */
  readonly number: number;
  readonly etag: string;
}

export interface PartBody {
  readonly number: number;
  readonly bytes: Buffer;
  readonly md5: Buffer | null;
}

export interface PartCopy {
  readonly number: number;
  /** The object that it is of. */
  readonly from: string;
  readonly range: ByteRange;
}

export interface StoredPart extends Part {
  readonly size: number;
}

export interface SignedRequest {
  readonly method: 'GET' | 'PUT';
  readonly name: string;
  readonly headers: Readonly<Record<string, string>>;
}
