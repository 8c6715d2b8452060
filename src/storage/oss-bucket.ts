import type { Dispatcher } from 'undici';
import { mayRunScripts } from '../core/result-format.ts';
import { realTempo } from '../core/tempo.ts';
import { untilAborted } from '../core/until-aborted.ts';
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
import { BucketError, toBucketError } from './bucket-error.ts';
import { type AgentTempo, createAgent } from './exchange.ts';
import { encodeObjectKey } from './object-key.ts';
import type { ByteRange, ObjectStat, OpenObject } from './object-store.ts';
import {
  createOssClient,
  type OssBucketOptions,
  type OssCall,
  type OssClient,
  publicUrlOf,
} from './oss-client.ts';
import type { OssCredentials } from './oss-credentials.ts';
import { type OssHeaders, undiciTransport } from './oss-transport.ts';

export interface OssStorageOptions extends OssBucketOptions {
  /** The address of the bucket in links, where it is not the bucket's own. */
  readonly publicUrl?: string | null;
  /** In place of keys that stay. */
  readonly credentials?: OssCredentials | null;
  /** `private`, `public-read`, …; `null`: as the bucket. */
  readonly acl?: string | null;
  /** `Standard`, `IA`, …; `null`: as the bucket. */
  readonly storageClass?: string | null;
  readonly tuning?: Partial<AgentTempo>;
}

const partsPerPage = 1_000;

/** A bucket of Aliyun OSS, through `ali-oss`. */
export class OssBucket implements Bucket {
  readonly checksum = 'crc64';
  readonly maxCopyBytes = 1_000_000_000;
  readonly publicUrl: string;
  readonly #agent: Dispatcher;
  readonly #client: OssClient;
  readonly #bucket: string;
  readonly #credentials: OssCredentials | null;
  readonly #aclHeaders: Record<string, string>;
  readonly #classHeaders: Record<string, string>;

  constructor(options: OssStorageOptions) {
    const { acl, storageClass, credentials } = options;
    this.publicUrl = (options.publicUrl ?? publicUrlOf(options)).replace(/\/+$/, '');
    this.#agent = createAgent({ ...realTempo.store, ...options.tuning });
    this.#client = createOssClient(options, undiciTransport(this.#agent));
    this.#bucket = options.bucket;
    this.#credentials = credentials ?? null;
    this.#aclHeaders = acl ? { 'x-oss-object-acl': acl } : {};
    this.#classHeaders = storageClass ? { 'x-oss-storage-class': storageClass } : {};
  }

  get renewsCredentials(): boolean {
    return this.#credentials !== null;
  }

  async put(name: string, body: ObjectBody, call: BucketCall): Promise<Receipt> {
    const { res } = await this.#send(call, (options) =>
      this.#client.putStream(name, body.stream, {
        ...options,
        headers: {
          ...this.#aclHeaders,
          ...this.#classHeaders,
          ...dispositionOf(body.contentType),
        },
        mime: body.contentType,
        // As text, because a number 0 would make the client send chunks of unknown length.
        contentLength: String(body.size),
      }),
    );
    return receiptOf(res.headers);
  }

  async get(name: string, range: ByteRange | null, call: BucketCall): Promise<OpenObject> {
    // Without the second header OSS answers an impossible range with the whole object.
    const headers: Record<string, string> = range
      ? { Range: `bytes=${range.start}-${range.end}`, 'x-oss-range-behavior': 'standard' }
      : {};
    const { res, stream } = await this.#send(call, (options) =>
      this.#client.getStream(name, { ...options, headers }),
    );
    return { ...describe(res.headers), body: stream };
  }

  async head(name: string, call: BucketCall): Promise<ObjectStat & Receipt> {
    const { res } = await this.#send(call, (options) => this.#client.head(name, options));
    return { ...describe(res.headers), ...receiptOf(res.headers) };
  }

  async delete(name: string, call: BucketCall): Promise<void> {
    await this.#send(call, (options) => this.#client.delete(name, options));
  }

  async copy(from: string, to: string, call: BucketCall): Promise<Receipt> {
    const { res } = await this.#send(call, (options) =>
      this.#client.copy(to, from, {
        ...options,
        headers: { ...this.#aclHeaders, ...this.#classHeaders },
      }),
    );
    return receiptOf(res.headers);
  }

  async begin(name: string, contentType: string, call: BucketCall): Promise<string> {
    const { uploadId } = await this.#send(call, (options) =>
      this.#client.initMultipartUpload(name, {
        ...options,
        headers: { ...this.#classHeaders, ...dispositionOf(contentType) },
        mime: contentType,
      }),
    );
    return uploadId;
  }

  async putPart(
    { name, id }: Upload,
    { number, bytes }: PartBody,
    call: BucketCall,
  ): Promise<string> {
    const { etag } = await this.#send(call, (options) =>
      this.#client.uploadPart(name, id, number, bytes, 0, bytes.length, options),
    );
    return etag;
  }

  async copyPart(
    { name, id }: Upload,
    { number, from, range }: PartCopy,
    call: BucketCall,
  ): Promise<string> {
    const source = { sourceBucketName: this.#bucket, sourceKey: from };
    const { etag } = await this.#send(call, (options) =>
      this.#client.uploadPartCopy(name, id, number, `${range.start}-${range.end}`, source, options),
    );
    return etag;
  }

  async complete({ name, id }: Upload, parts: readonly Part[], call: BucketCall): Promise<Receipt> {
    // OSS takes the ACL of an object in parts at its completion, its class at the beginning.
    const { res } = await this.#send(call, (options) =>
      this.#client.completeMultipartUpload(name, id, parts, {
        ...options,
        headers: this.#aclHeaders,
      }),
    );
    return receiptOf(res.headers);
  }

  async abort({ name, id }: Upload, call: BucketCall): Promise<void> {
    await this.#send(call, (options) => this.#client.abortMultipartUpload(name, id, options));
  }

  async uploads(name: string, call: BucketCall): Promise<Upload[]> {
    const { uploads } = await this.#send(call, (options) =>
      this.#client.listUploads({ prefix: name, 'max-uploads': 1_000 }, options),
    );
    return uploads
      .filter((upload) => upload.name === name)
      .sort((a, b) => Date.parse(b.initiated) - Date.parse(a.initiated))
      .map(({ uploadId }) => ({ name, id: uploadId }));
  }

  async parts({ name, id }: Upload, call: BucketCall): Promise<StoredPart[]> {
    const all: StoredPart[] = [];
    for (let marker = '0', isLast = false; !isLast; ) {
      const query = { 'max-parts': partsPerPage, 'part-number-marker': marker };
      const page = await this.#send(call, (options) =>
        this.#client.listParts(name, id, query, options),
      );
      // One part comes as itself, not as a list of one.
      for (const { PartNumber, ETag, Size } of [page.parts].flat()) {
        all.push({ number: Number(PartNumber), etag: ETag, size: Number(Size) });
      }
      marker = page.nextPartNumberMarker ?? '';
      isLast = page.isTruncated !== 'true' || marker === '';
    }
    return all;
  }

  /** The signature does not cover the host, so that it holds at a domain of the bucket's own, too. */
  async sign({ method, name, headers }: SignedRequest, expiresSeconds: number): Promise<string> {
    await this.#renew();
    const url = await this.#client.signatureUrlV4(method, expiresSeconds, { headers }, name);
    return `${this.publicUrl}/${encodeObjectKey(name)}${new URL(url).search}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.destroy();
  }

  async #send<T>(
    { signal, deadlineMs }: BucketCall,
    send: (options: OssCall) => Promise<T>,
  ): Promise<T> {
    try {
      await untilAborted(this.#renew(), signal);
      return await send({ timeout: deadlineMs, ctx: () => signal });
    } catch (thrown) {
      const error = toBucketError(thrown);
      if (error instanceof BucketError && error.isOutdated) this.#credentials?.forget();
      throw error;
    }
  }

  /** The client signs with what its options hold; its own way of renewal calls at fixed times only. */
  async #renew(): Promise<void> {
    if (this.#credentials) Object.assign(this.#client.options, await this.#credentials.get());
  }
}

function receiptOf(headers: OssHeaders): Receipt {
  return {
    checksum: headers['x-oss-hash-crc64ecma'] ?? null,
    requestId: headers['x-oss-request-id'] ?? null,
  };
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

/** A bucket says nothing of what a page may run. */
function dispositionOf(contentType: string): Record<string, string> {
  return mayRunScripts(contentType) ? { 'Content-Disposition': 'attachment' } : {};
}
