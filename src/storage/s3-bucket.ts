import { isIP } from 'node:net';
import type { Readable } from 'node:stream';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  PutObjectCommand,
  S3Client,
  type StorageClass,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3';
import { S3RequestPresigner } from '@aws-sdk/s3-request-presigner';
import type { Dispatcher } from 'undici';
import { mayRunScripts } from '../core/result-format.ts';
import { realTempo } from '../core/tempo.ts';
import type {
  Bucket,
  BucketCall,
  ObjectBody,
  Part,
  PartBody,
  PartCopy,
  Receipt,
  SignedRequest,
  StoredPart,
  Upload,
} from './bucket.ts';
import { toBucketError } from './bucket-error.ts';
import { type AgentTempo, createAgent } from './exchange.ts';
import { encodeObjectKey } from './object-key.ts';
import type { ByteRange, ObjectStat, OpenObject } from './object-store.ts';
import { addressOf, s3Transport } from './s3-transport.ts';

export interface S3StorageOptions {
  readonly region: string;
  readonly bucket: string;
  /** Where the service is, if it is not AWS: a URL. */
  readonly endpoint?: string | null;
  /** The bucket stands in the path, not before the host. */
  readonly forcePathStyle?: boolean;
  /** Left out where AWS's default chain finds credentials. */
  readonly accessKeyId?: string | null;
  readonly secretAccessKey?: string | null;
  readonly sessionToken?: string | null;
  /** The address of the bucket in links, where it is not the bucket's own. */
  readonly publicUrl?: string | null;
  /** `STANDARD_IA`, …; `null`: as the bucket. */
  readonly storageClass?: string | null;
  readonly tuning?: Partial<AgentTempo>;
}

/** Without one the client writes to the console that a request with a stream failed. */
const silent = { debug() {}, info() {}, warn() {}, error() {} };

/** A bucket of a service that speaks S3, through AWS's client: AWS, MinIO, R2, OSS's S3 door. */
export class S3Bucket implements Bucket {
  readonly checksum = 'md5';
  readonly maxCopyBytes = 5_000_000_000;
  readonly renewsCredentials: boolean;
  readonly publicUrl: string;
  readonly #agent: Dispatcher;
  readonly #client: S3Client;
  readonly #presigner: S3RequestPresigner;
  readonly #bucket: string;
  readonly #storageClass: { readonly StorageClass?: StorageClass };

  constructor(options: S3StorageOptions) {
    const { region, bucket, endpoint, storageClass } = options;
    const keys = keysOf(options);
    this.renewsCredentials = keys === null;
    this.publicUrl = (options.publicUrl ?? publicUrlOf(options)).replace(/\/+$/, '');
    this.#agent = createAgent({ ...realTempo.store, ...options.tuning });
    this.#client = new S3Client({
      region,
      forcePathStyle: options.forcePathStyle ?? false,
      ...(endpoint && { endpoint }),
      ...(keys && { credentials: keys }),
      // Deadlines and repeats are the store's.
      maxAttempts: 1,
      requestHandler: s3Transport(this.#agent),
      logger: silent,
      // The client's newer checksums come as trailers of chunked bodies, which OSS's S3 door refuses.
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
    });
    this.#presigner = new S3RequestPresigner({ ...this.#client.config });
    this.#bucket = bucket;
    this.#storageClass = storageClass ? { StorageClass: storageClass as StorageClass } : {};
  }

  async put(name: string, body: ObjectBody, call: BucketCall): Promise<Receipt> {
    const command = new PutObjectCommand({
      ...this.#named(name),
      ...this.#storageClass,
      Body: body.stream,
      ContentLength: body.size,
      ContentType: body.contentType,
      ...dispositionOf(body.contentType),
    });
    const answer = await this.#send(call, (options) => this.#client.send(command, options));
    return receiptOf(answer);
  }

  async get(name: string, range: ByteRange | null, call: BucketCall): Promise<OpenObject> {
    const command = new GetObjectCommand({
      ...this.#named(name),
      ...(range && { Range: `bytes=${range.start}-${range.end}` }),
    });
    const answer = await this.#send(call, (options) => this.#client.send(command, options));
    return { ...describe(answer), body: answer.Body as Readable };
  }

  async head(name: string, call: BucketCall): Promise<ObjectStat & Receipt> {
    const command = new HeadObjectCommand(this.#named(name));
    const answer = await this.#send(call, (options) => this.#client.send(command, options));
    return { ...describe(answer), ...receiptOf(answer) };
  }

  async delete(name: string, call: BucketCall): Promise<void> {
    const command = new DeleteObjectCommand(this.#named(name));
    await this.#send(call, (options) => this.#client.send(command, options));
  }

  async copy(from: string, to: string, call: BucketCall): Promise<Receipt> {
    const command = new CopyObjectCommand({
      ...this.#named(to),
      ...this.#storageClass,
      CopySource: this.#sourceOf(from),
    });
    const answer = await this.#send(call, (options) => this.#client.send(command, options));
    return receiptOf({ ...answer, ETag: answer.CopyObjectResult?.ETag });
  }

  async begin(name: string, contentType: string, call: BucketCall): Promise<string> {
    const command = new CreateMultipartUploadCommand({
      ...this.#named(name),
      ...this.#storageClass,
      ContentType: contentType,
      ...dispositionOf(contentType),
    });
    const answer = await this.#send(call, (options) => this.#client.send(command, options));
    return answer.UploadId ?? '';
  }

  /** The service compares the MD5 itself, and refuses a part that arrives changed. */
  async putPart(upload: Upload, part: PartBody, call: BucketCall): Promise<string> {
    const command = new UploadPartCommand({
      ...this.#ofUpload(upload),
      PartNumber: part.number,
      Body: part.bytes,
      ContentLength: part.bytes.length,
      ...(part.md5 && { ContentMD5: part.md5.toString('base64') }),
    });
    if (part.md5) signMd5Alone(command);
    const answer = await this.#send(call, (options) => this.#client.send(command, options));
    return answer.ETag ?? '';
  }

  async copyPart(
    upload: Upload,
    { number, from, range }: PartCopy,
    call: BucketCall,
  ): Promise<string> {
    const command = new UploadPartCopyCommand({
      ...this.#ofUpload(upload),
      PartNumber: number,
      CopySource: this.#sourceOf(from),
      CopySourceRange: `bytes=${range.start}-${range.end}`,
    });
    const answer = await this.#send(call, (options) => this.#client.send(command, options));
    return answer.CopyPartResult?.ETag ?? '';
  }

  async complete(upload: Upload, parts: readonly Part[], call: BucketCall): Promise<Receipt> {
    const command = new CompleteMultipartUploadCommand({
      ...this.#ofUpload(upload),
      MultipartUpload: {
        Parts: parts.map(({ number, etag }) => ({ PartNumber: number, ETag: etag })),
      },
    });
    const { $metadata } = await this.#send(call, (options) => this.#client.send(command, options));
    // Each part was compared. How the whole's ETag is made of theirs is not everywhere the same.
    return { checksum: null, requestId: $metadata.requestId ?? null };
  }

  async abort(upload: Upload, call: BucketCall): Promise<void> {
    const command = new AbortMultipartUploadCommand(this.#ofUpload(upload));
    await this.#send(call, (options) => this.#client.send(command, options));
  }

  async uploads(name: string, call: BucketCall): Promise<Upload[]> {
    const command = new ListMultipartUploadsCommand({ Bucket: this.#bucket, Prefix: name });
    const { Uploads = [] } = await this.#send(call, (options) =>
      this.#client.send(command, options),
    );
    return Uploads.filter(({ Key }) => Key === name)
      .sort((a, b) => Number(b.Initiated ?? 0) - Number(a.Initiated ?? 0))
      .flatMap(({ UploadId }) => (UploadId ? { name, id: UploadId } : []));
  }

  async parts(upload: Upload, call: BucketCall): Promise<StoredPart[]> {
    const all: StoredPart[] = [];
    for (let marker: string | undefined, isLast = false; !isLast; ) {
      const command = new ListPartsCommand({
        ...this.#ofUpload(upload),
        ...(marker && { PartNumberMarker: marker }),
      });
      const page = await this.#send(call, (options) => this.#client.send(command, options));
      for (const { PartNumber = 0, ETag = '', Size = 0 } of page.Parts ?? []) {
        all.push({ number: PartNumber, etag: ETag, size: Size });
      }
      marker = page.NextPartNumberMarker;
      isLast = !page.IsTruncated || !marker;
    }
    return all;
  }

  /** The signature covers the host, so the request is signed for the address that clients see. */
  async sign({ method, name, headers }: SignedRequest, expiresSeconds: number): Promise<string> {
    const base = new URL(this.publicUrl);
    const request = {
      method,
      protocol: base.protocol,
      hostname: base.hostname,
      ...(base.port && { port: Number(base.port) }),
      path: `${base.pathname.replace(/\/$/, '')}/${encodeObjectKey(name)}`,
      query: {},
      headers: { host: base.host, ...headers },
    };
    const signed = await this.#signing(() =>
      this.#presigner.presign(request, { expiresIn: expiresSeconds }),
    );
    return addressOf(signed as Parameters<typeof addressOf>[0]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client.destroy();
    await this.#agent.destroy();
  }

  async #send<T>(
    { signal, deadlineMs }: BucketCall,
    send: (options: { abortSignal: AbortSignal; requestTimeout: number }) => Promise<T>,
  ): Promise<T> {
    signal.throwIfAborted();
    return await this.#signing(() => send({ abortSignal: signal, requestTimeout: deadlineMs }));
  }

  async #signing<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw toBucketError(error);
    }
  }

  /** Sent as a header, so encoded here. */
  #sourceOf(name: string): string {
    return `${this.#bucket}/${encodeObjectKey(name)}`;
  }

  #named(name: string): { Bucket: string; Key: string } {
    return { Bucket: this.#bucket, Key: name };
  }

  #ofUpload({ name, id }: Upload): { Bucket: string; Key: string; UploadId: string } {
    return { ...this.#named(name), UploadId: id };
  }
}

/**
 * The signature covers the MD5 of the body, and need not cover its SHA-256 as well, which the client
 * would count anew for each part.
 */
function signMd5Alone({ middlewareStack }: UploadPartCommand): void {
  middlewareStack.add(
    (next) => async (args) => {
      const { headers } = args.request as { headers: Record<string, string> };
      headers['x-amz-content-sha256'] = 'UNSIGNED-PAYLOAD';
      return await next(args);
    },
    { step: 'build', name: 'signMd5Alone' },
  );
}

function keysOf({ accessKeyId, secretAccessKey, sessionToken }: S3StorageOptions) {
  if (!accessKeyId || !secretAccessKey) return null;
  return { accessKeyId, secretAccessKey, ...(sessionToken && { sessionToken }) };
}

/** The address of the bucket for clients. */
export function publicUrlOf({
  region,
  bucket,
  endpoint,
  forcePathStyle,
}: Pick<S3StorageOptions, 'region' | 'bucket' | 'endpoint' | 'forcePathStyle'>): string {
  const url = new URL(endpoint ?? `https://s3.${region}.amazonaws.com`);
  if (forcePathStyle || isIP(url.hostname)) return `${url.href.replace(/\/+$/, '')}/${bucket}`;
  url.hostname = `${bucket}.${url.hostname.replace('-internal.aliyuncs.com', '.aliyuncs.com')}`;
  return url.href.replace(/\/+$/, '');
}

interface Described {
  readonly ContentLength?: number | undefined;
  readonly ContentRange?: string | undefined;
  readonly ContentType?: string | undefined;
  readonly LastModified?: Date | undefined;
  readonly ETag?: string | undefined;
}

function describe(answer: Described): ObjectStat {
  const wholeLength = answer.ContentRange?.split('/')[1] ?? answer.ContentLength;
  return {
    size: Number(wholeLength),
    contentType: answer.ContentType ?? 'application/octet-stream',
    modifiedAt: answer.LastModified ?? new Date(0),
    etag: answer.ETag ?? '',
  };
}

interface Received {
  readonly ETag?: string | undefined;
  readonly ServerSideEncryption?: string | undefined;
  readonly SSECustomerAlgorithm?: string | undefined;
  readonly $metadata: { readonly requestId?: string | undefined };
}

/** An ETag is an MD5, or one of MD5s, where the bucket does not encrypt with keys of its own. */
function receiptOf(answer: Received): Receipt {
  const etag = answer.ETag?.replaceAll('"', '').toLowerCase() ?? '';
  const isKeyed = /kms/.test(answer.ServerSideEncryption ?? '') || answer.SSECustomerAlgorithm;
  const isMd5 = /^[0-9a-f]{32}(-\d+)?$/.test(etag) && !isKeyed;
  return { checksum: isMd5 ? etag : null, requestId: answer.$metadata.requestId ?? null };
}

/** A bucket says nothing of what a page may run. */
function dispositionOf(contentType: string) {
  return mayRunScripts(contentType) ? { ContentDisposition: 'attachment' } : {};
}
