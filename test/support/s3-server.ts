import type { IncomingMessage } from 'node:http';
import type { Blob, StoredBlob } from './bucket-server/bucket.ts';
import {
  BucketServer,
  type BucketServerOptions,
  type Located,
  type LoggedRequest,
  type Refusal,
} from './bucket-server.ts';
import { type Credentials, refuse } from './s3-server/signature.ts';

export type S3ServerOptions = BucketServerOptions & Partial<Credentials>;

/** One bucket of S3, by its path or by its host. */
export class S3Server extends BucketServer {
  readonly credentials: Credentials;
  protected readonly requestIdHeader = 'x-amz-request-id';
  protected readonly copySourceHeader = 'x-amz-copy-source';

  private constructor(options: S3ServerOptions) {
    super(options);
    this.credentials = {
      accessKeyId: options.accessKeyId ?? 'test-key-id',
      secretAccessKey: options.secretAccessKey ?? 'test-key-secret',
      region: options.region ?? 'eu-central-1',
      sessionToken: options.sessionToken,
    };
  }

  static async start(options: S3ServerOptions = {}): Promise<S3Server> {
    return await new S3Server(options).listen();
  }

  protected locate(url: URL, { host = '' }: IncomingMessage['headers']): Located {
    const path = decodeURIComponent(url.pathname.slice(1));
    if (!host.startsWith('127.0.0.1')) return { bucket: host.split('.')[0] ?? '', key: path };
    const [bucket = '', ...rest] = path.split('/');
    return { bucket, key: rest.join('/') };
  }

  protected refuse(request: LoggedRequest, _: Located, now: number): Refusal | null {
    return refuse(request, this.credentials, now);
  }

  protected checksums({ etag }: Pick<StoredBlob, 'etag'>): Record<string, string> {
    return { ETag: etag.toLowerCase() };
  }

  protected refusesRange(): boolean {
    return true;
  }

  /** Its status is all that there is. */
  protected errorOfHead(): Record<string, string> {
    return {};
  }

  protected async refuseBody(
    headers: IncomingMessage['headers'],
    blob: Blob,
  ): Promise<string | null> {
    const signedHash = String(headers['x-amz-content-sha256'] ?? '');
    const isSigned = /^[0-9a-f]{64}$/.test(signedHash);
    if (isSigned && signedHash !== (await this.bucket.sha256(blob))) {
      return 'XAmzContentSHA256Mismatch';
    }
    const announced = headers['content-md5'];
    if (announced && announced !== Buffer.from(blob.md5, 'hex').toString('base64'))
      return 'BadDigest';
    // AWS's trailing checksums; services that only speak like it do not know them.
    return String(headers['content-encoding'] ?? '').includes('aws-chunked')
      ? 'InvalidArgument'
      : null;
  }
}
