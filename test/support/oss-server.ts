import type { IncomingMessage } from 'node:http';
import type { StoredBlob } from './bucket-server/bucket.ts';
import {
  BucketServer,
  type BucketServerOptions,
  type Located,
  type LoggedRequest,
  type Refusal,
} from './bucket-server.ts';
import { type Credentials, refuse } from './oss-server/signature.ts';

export type OssServerOptions = BucketServerOptions & Partial<Credentials>;

/** One bucket of OSS, with signatures of version 4. */
export class OssServer extends BucketServer {
  readonly credentials: Credentials;
  protected readonly requestIdHeader = 'x-oss-request-id';
  protected readonly copySourceHeader = 'x-oss-copy-source';

  private constructor(options: OssServerOptions) {
    super(options);
    this.credentials = {
      accessKeyId: options.accessKeyId ?? 'test-key-id',
      accessKeySecret: options.accessKeySecret ?? 'test-key-secret',
      region: options.region ?? 'cn-hangzhou',
      stsToken: options.stsToken,
    };
  }

  static async start(options: OssServerOptions = {}): Promise<OssServer> {
    return await new OssServer(options).listen();
  }

  protected locate(url: URL, { host = '' }: IncomingMessage['headers']): Located {
    // A virtual host names the bucket; an address of the network cannot.
    const named = host.startsWith('127.0.0.1') ? this.bucketName : host.split('.')[0];
    return { bucket: named ?? '', key: decodeURIComponent(url.pathname.slice(1)) };
  }

  protected refuse(request: LoggedRequest, { bucket, key }: Located, now: number): Refusal | null {
    return refuse({ ...request, resource: `/${bucket}/${key}` }, this.credentials, now);
  }

  protected checksums({ etag, crc64 }: Pick<StoredBlob, 'etag' | 'crc64'>): Record<string, string> {
    return { ETag: etag, 'x-oss-hash-crc64ecma': crc64 };
  }

  /** Only who asks for it gets the standard's behaviour. */
  protected refusesRange(headers: IncomingMessage['headers']): boolean {
    return headers['x-oss-range-behavior'] === 'standard';
  }

  protected errorOfHead(body: string): Record<string, string> {
    return { 'x-oss-err': Buffer.from(body).toString('base64') };
  }

  protected async refuseBody(): Promise<null> {
    return null;
  }
}
