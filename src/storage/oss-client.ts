import { isIP } from 'node:net';
import type { Readable } from 'node:stream';
import OSS from 'ali-oss';
import type { Part } from './bucket.ts';
import type { OssHeaders, OssTransport } from './oss-transport.ts';

export interface OssBucketOptions {
  /** `oss-cn-hangzhou`, or `cn-hangzhou`; signatures of version 4 name it. */
  readonly region: string;
  readonly bucket: string;
  /** Left out where temporary ones are fetched. */
  readonly accessKeyId?: string | null;
  readonly accessKeySecret?: string | null;
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
  /** The credentials that it signs with are among them. */
  readonly options: object;
  putStream(
    name: string,
    body: Readable,
    options: OssCall & WithHeaders & { readonly mime: string; readonly contentLength: string },
  ): Promise<OssReply>;
  getStream(
    name: string,
    options: OssCall & WithHeaders,
  ): Promise<OssReply & { readonly stream: Readable }>;
  head(name: string, options: OssCall): Promise<OssReply>;
  delete(name: string, options: OssCall): Promise<OssReply>;
  copy(name: string, sourceName: string, options: OssCall & WithHeaders): Promise<OssReply>;
  initMultipartUpload(
    name: string,
    options: OssCall & WithHeaders & { readonly mime: string },
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
  uploadPartCopy(
    name: string,
    uploadId: string,
    number: number,
    range: string,
    source: { readonly sourceBucketName: string; readonly sourceKey: string },
    options: OssCall,
  ): Promise<OssReply & { readonly etag: string }>;
  completeMultipartUpload(
    name: string,
    uploadId: string,
    parts: readonly Part[],
    options: OssCall & WithHeaders,
  ): Promise<OssReply>;
  abortMultipartUpload(name: string, uploadId: string, options: OssCall): Promise<OssReply>;
  listUploads(
    query: { readonly prefix: string; readonly 'max-uploads': number },
    options: OssCall,
  ): Promise<{ readonly uploads: readonly OssUpload[] }>;
  listParts(
    name: string,
    uploadId: string,
    query: { readonly 'max-parts': number; readonly 'part-number-marker': string },
    options: OssCall,
  ): Promise<OssPartsPage>;
  signatureUrlV4(
    method: string,
    expiresSeconds: number,
    request: { readonly headers: Readonly<Record<string, string>> },
    name: string,
  ): Promise<string>;
}

export interface OssUpload {
  readonly name: string;
  readonly uploadId: string;
  readonly initiated: string;
}

/** As the XML has it. */
export interface OssPartsPage {
  readonly parts: OssListedPart | readonly OssListedPart[];
  readonly nextPartNumberMarker?: string;
  readonly isTruncated: string;
}

interface OssListedPart {
  readonly PartNumber: string;
  readonly ETag: string;
  readonly Size: string;
}

export interface OssCall {
  readonly timeout: number;
  readonly ctx: () => AbortSignal;
}

interface WithHeaders {
  readonly headers: Record<string, string>;
}

export interface OssReply {
  readonly res: { readonly headers: OssHeaders };
}

export function createOssClient(options: OssBucketOptions, transport: OssTransport): OssClient {
  const { bucket, accessKeyId, accessKeySecret, stsToken, endpoint, cname } = options;
  const clientOptions = {
    region: longRegion(options.region),
    bucket,
    // The client does not start with none; temporary ones are put in their place before each request.
    accessKeyId: accessKeyId ?? 'none',
    accessKeySecret: accessKeySecret ?? 'none',
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
