import { isIP } from 'node:net';
import type { Readable } from 'node:stream';
import OSS from 'ali-oss';
import type { OssHeaders, OssTransport } from './oss-transport.ts';

export interface OssBucketOptions {
  /** `oss-cn-hangzhou`, or `cn-hangzhou`; signatures of version 4 name it. */
  readonly region: string;
  readonly bucket: string;
  readonly accessKeyId: string;
  readonly accessKeySecret: string;
  readonly stsToken?: string | null;
  /** Where OSS is reached, if not at its public address of the region: a host, or a URL. */
  readonly endpoint?: string | null;
  /** The endpoint is a domain of the bucket's own. */
  readonly cname?: boolean;
}

/**
 * What we use of `ali-oss`. Its published types know neither `urllib` nor `ctx`, which its code
 * reads, and want a callback for every `putStream`.
 */
export interface OssClient {
  putStream(
    name: string,
    body: Readable,
    options: OssCall & { readonly mime: string; readonly contentLength: string },
  ): Promise<OssReply>;
  getStream(
    name: string,
    options: OssCall & { readonly headers: Record<string, string> },
  ): Promise<OssReply & { readonly stream: Readable }>;
  head(name: string, options: OssCall): Promise<OssReply>;
  delete(name: string, options: OssCall): Promise<OssReply>;
  initMultipartUpload(
    name: string,
    options: OssCall & { readonly mime: string },
  ): Promise<OssReply & { readonly uploadId: string }>;
  uploadPart(
    name: string,
    uploadId: string,
    number: number,
    bytes: Buffer,
    start: number,
    end: number,
    options: OssCall,
  ): Promise<OssReply & { readonly etag: string }>;
  completeMultipartUpload(
    name: string,
    uploadId: string,
    parts: readonly OssPart[],
    options: OssCall,
  ): Promise<OssReply>;
  abortMultipartUpload(name: string, uploadId: string, options: OssCall): Promise<OssReply>;
}

export interface OssCall {
  readonly timeout: number;
  readonly ctx: () => AbortSignal;
}

export interface OssPart {
  readonly number: number;
  readonly etag: string;
}

export interface OssReply {
  readonly res: { readonly headers: OssHeaders };
}

export function createOssClient(options: OssBucketOptions, transport: OssTransport): OssClient {
  const { bucket, accessKeyId, accessKeySecret, stsToken, endpoint, cname } = options;
  const clientOptions = {
    region: longRegion(options.region),
    bucket,
    accessKeyId,
    accessKeySecret,
    authorizationV4: true,
    secure: true,
    ...(endpoint && { endpoint }),
    ...(cname && { cname }),
    // The interval only keeps the client from advising on the console to refresh the token.
    ...(stsToken && { stsToken, refreshSTSTokenInterval: 300_000 }),
    urllib: transport,
  };
  return new OSS(clientOptions) as unknown as OssClient;
}

/** The address of the bucket for clients, who are not inside of Aliyun's own network. */
export function publicUrlOf({ region, bucket, endpoint, cname }: OssBucketOptions): string {
  const address = endpoint ?? `${longRegion(region)}.aliyuncs.com`;
  const url = new URL(/^https?:/.test(address) ? address : `https://${address}`);
  if (!cname && !isIP(url.hostname)) {
    url.hostname = `${bucket}.${url.hostname.replace('-internal.aliyuncs.com', '.aliyuncs.com')}`;
  }
  return url.origin;
}

function longRegion(region: string): string {
  return region.startsWith('oss-') ? region : `oss-${region}`;
}
