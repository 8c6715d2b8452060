import { createReadStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { Bucket, type StoredBlob, type Upload } from './oss-server/bucket.ts';
import { type Fault, Faults, faultyBody, type RequestView } from './oss-server/faults.ts';
import { type Credentials, refuse } from './oss-server/signature.ts';

export interface OssServerOptions extends Partial<Credentials> {
  readonly bucket?: string;
  /** What the server takes for the time, in milliseconds. */
  readonly now?: () => number;
  /** OSS joins no parts under 100 KiB but the last. */
  readonly minPartBytes?: number;
}

export interface LoggedRequest extends RequestView {
  readonly headers: IncomingMessage['headers'];
  readonly requestId: string;
  /** `null` when the connection was cut instead of answered. */
  status: number | null;
}

/**
 * One bucket of OSS behind plain HTTP: objects, multipart uploads, signatures of version 4, errors
 * in XML, and faults on request.
 */
export class OssServer implements AsyncDisposable {
  readonly bucketName: string;
  readonly credentials: Credentials;
  readonly requests: LoggedRequest[] = [];
  readonly bucket: Bucket;
  readonly #faults = new Faults();
  readonly #now: () => number;
  readonly #minPartBytes: number;
  readonly #folder: string;
  readonly #server: Server;

  private constructor(folder: string, options: OssServerOptions) {
    this.bucketName = options.bucket ?? 'results';
    this.credentials = {
      accessKeyId: options.accessKeyId ?? 'test-key-id',
      accessKeySecret: options.accessKeySecret ?? 'test-key-secret',
      region: options.region ?? 'cn-hangzhou',
      stsToken: options.stsToken,
    };
    this.bucket = new Bucket(folder);
    this.#folder = folder;
    this.#now = options.now ?? Date.now;
    this.#minPartBytes = options.minPartBytes ?? 100 * 1024;
    this.#server = createServer((request, response) => void this.#serve(request, response));
    this.#server.requestTimeout = 0;
  }

  static async start(options: OssServerOptions = {}): Promise<OssServer> {
    const oss = new OssServer(await mkdtemp(join(tmpdir(), 'oss-server-')), options);
    await new Promise<void>((resolve) => oss.#server.listen(0, '127.0.0.1', resolve));
    return oss;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The next `times` requests that match go wrong. */
  fail(
    fault: Fault,
    {
      times = 1,
      when = () => true,
    }: { times?: number; when?: (request: RequestView) => boolean } = {},
  ): void {
    this.#faults.add(fault, times, when);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
    await rm(this.#folder, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.url);
    const logged: LoggedRequest = {
      method: request.method ?? '',
      key: decodeURIComponent(url.pathname.slice(1)),
      query: url.searchParams,
      headers: request.headers,
      requestId: `REQUEST-${this.requests.length}`,
      status: null,
    };
    this.requests.push(logged);
    const fault = this.#faults.take(logged);
    const answer = await this.#answer(request, logged, fault).catch((error: unknown) => {
      if (error instanceof Refused) return error.answer;
      return null;
    });
    if (!answer || fault?.kind === 'swallow') {
      response.destroy();
      return;
    }
    if (fault?.kind === 'late') await new Promise((resolve) => setTimeout(resolve, fault.ms));
    logged.status = answer.status;
    // A body that nobody will read must not be taken for the next request.
    if (!request.complete) response.setHeader('Connection', 'close');
    response.writeHead(answer.status, {
      'x-oss-request-id': logged.requestId,
      ...answer.headers,
      ...(request.method === 'HEAD' && answer.status >= 400 && typeof answer.body === 'string'
        ? { 'x-oss-err': Buffer.from(answer.body).toString('base64'), 'Content-Length': 0 }
        : {}),
    });
    if (request.method === 'HEAD' || answer.body === undefined) response.end();
    else if (typeof answer.body === 'string') response.end(answer.body);
    else await pipeline(answer.body, response).catch(() => {});
  }

  async #answer(
    request: IncomingMessage,
    logged: LoggedRequest,
    fault: Fault | null,
  ): Promise<Answer> {
    this.#admit(request, logged);
    if (fault?.kind === 'answer') throw new Refused(fault.status, fault.code, logged);
    if (fault?.kind === 'stall' && !hasBody(request)) {
      await new Promise((resolve) => request.socket.once('close', resolve));
    }
    if (fault?.kind === 'reset' && !hasBody(request)) request.socket.resetAndDestroy();

    const { method, query } = logged;
    const body = () => faultyBody(request, fault);
    const uploadId = query.get('uploadId');
    if (method === 'POST' && query.has('uploads')) return this.#begin(request, logged);
    if (uploadId !== null) {
      const upload = this.bucket.uploads.get(uploadId);
      if (!upload || upload.key !== logged.key) throw new Refused(404, 'NoSuchUpload', logged);
      if (method === 'PUT') return await this.#putPart(upload, logged, body());
      if (method === 'POST') return await this.#complete(uploadId, upload, logged, body());
      if (method === 'GET') return this.#listParts(uploadId, upload);
      if (method === 'DELETE') {
        await this.bucket.abandon(uploadId);
        return { status: 204 };
      }
    }
    if (method === 'PUT') return await this.#putObject(request, logged, body());
    if (method === 'GET' || method === 'HEAD') return this.#getObject(request, logged);
    if (method === 'DELETE') {
      this.bucket.objects.delete(logged.key);
      return { status: 204 };
    }
    throw new Refused(405, 'MethodNotAllowed', logged);
  }

  #admit({ headers }: IncomingMessage, logged: LoggedRequest): void {
    const host = headers.host ?? '';
    // A virtual host names the bucket; an address of the network cannot.
    const named = host.startsWith('127.0.0.1') ? this.bucketName : host.split('.')[0];
    if (named !== this.bucketName) throw new Refused(404, 'NoSuchBucket', logged);
    const resource = `/${this.bucketName}/${logged.key}`;
    const refusal = refuse({ ...logged, resource }, this.credentials, this.#now());
    if (refusal) throw new Refused(403, refusal.code, logged, refusal.message);
  }

  async #putObject(
    request: IncomingMessage,
    logged: LoggedRequest,
    body: AsyncIterable<Buffer>,
  ): Promise<Answer> {
    const blob = await this.bucket.write(body);
    return { status: 200, headers: checksums(this.bucket.put(logged.key, blob, typeOf(request))) };
  }

  #getObject(request: IncomingMessage, logged: LoggedRequest): Answer {
    const found = this.bucket.objects.get(logged.key);
    if (!found) throw new Refused(404, 'NoSuchKey', logged);
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
    const start = Number(range?.[1] ?? 0);
    const end = Math.min(found.size, Number(range?.[2] || found.size) + 1) - 1;
    const possible = range !== null && start <= end;
    if (range && !possible && request.headers['x-oss-range-behavior'] === 'standard') {
      throw new Refused(416, 'InvalidRange', logged);
    }
    const headers = {
      ...checksums(found),
      'Content-Type': found.contentType,
      'Content-Length': possible ? end - start + 1 : found.size,
      'Last-Modified': found.modifiedAt.toUTCString(),
      'Accept-Ranges': 'bytes',
      ...(possible && { 'Content-Range': `bytes ${start}-${end}/${found.size}` }),
    };
    const body =
      request.method === 'HEAD'
        ? undefined
        : createReadStream(found.path, possible ? { start, end } : {});
    return { status: possible ? 206 : 200, headers, body };
  }

  #begin(request: IncomingMessage, logged: LoggedRequest): Answer {
    const uploadId = this.bucket.begin(logged.key, typeOf(request));
    const elements = { Bucket: this.bucketName, Key: logged.key, UploadId: uploadId };
    return xml(200, 'InitiateMultipartUploadResult', elements);
  }

  async #putPart(
    upload: Upload,
    logged: LoggedRequest,
    body: AsyncIterable<Buffer>,
  ): Promise<Answer> {
    const number = Number(logged.query.get('partNumber'));
    if (!(number >= 1 && number <= 10_000)) throw new Refused(400, 'InvalidArgument', logged);
    const blob = await this.bucket.write(body);
    upload.parts.set(number, blob);
    return {
      status: 200,
      headers: { ETag: `"${blob.md5}"`, 'x-oss-hash-crc64ecma': blob.crc64 },
    };
  }

  async #complete(
    uploadId: string,
    upload: Upload,
    logged: LoggedRequest,
    body: AsyncIterable<Buffer>,
  ): Promise<Answer> {
    const listed = await text(body);
    const wanted = [...listed.matchAll(/<PartNumber>(\d+)<\/PartNumber>\s*<ETag>(.+?)<\/ETag>/g)];
    const parts = wanted.map(([, number, etag]) => {
      const part = upload.parts.get(Number(number));
      if (!part || etag?.replaceAll('"', '') !== part.md5) {
        throw new Refused(400, 'InvalidPart', logged);
      }
      return part;
    });
    if (parts.slice(0, -1).some((part) => part.size < this.#minPartBytes)) {
      throw new Refused(400, 'EntityTooSmall', logged);
    }
    const stored = await this.bucket.complete(uploadId, upload, parts);
    const elements = { Bucket: this.bucketName, Key: upload.key, ETag: stored.etag };
    const answer = xml(200, 'CompleteMultipartUploadResult', elements);
    return { ...answer, headers: { ...answer.headers, ...checksums(stored) } };
  }

  #listParts(uploadId: string, upload: Upload): Answer {
    const parts = [...upload.parts].map(([number, part]) =>
      element('Part', { PartNumber: number, ETag: `"${part.md5}"`, Size: part.size }),
    );
    const elements = { Bucket: this.bucketName, Key: upload.key, UploadId: uploadId };
    return xml(200, 'ListPartsResult', { ...elements, IsTruncated: 'false' }, parts.join(''));
  }
}

interface Answer {
  readonly status: number;
  readonly headers?: Record<string, string | number>;
  readonly body?: string | NodeJS.ReadableStream | undefined;
}

class Refused extends Error {
  readonly answer: Answer;

  constructor(status: number, code: string, { requestId }: LoggedRequest, message = code) {
    super(message);
    this.answer = xml(status, 'Error', {
      Code: code,
      Message: message,
      RequestId: requestId,
      HostId: 'results.oss-cn-hangzhou.aliyuncs.com',
    });
  }
}

function hasBody({ headers }: IncomingMessage): boolean {
  return Number(headers['content-length'] ?? 0) > 0;
}

function typeOf({ headers }: IncomingMessage): string {
  return headers['content-type'] ?? 'application/octet-stream';
}

function checksums({ etag, crc64 }: StoredBlob): Record<string, string> {
  return { ETag: etag, 'x-oss-hash-crc64ecma': crc64 };
}

async function text(body: AsyncIterable<Buffer>): Promise<string> {
  return Buffer.concat(await Array.fromAsync(body)).toString();
}

function xml(
  status: number,
  root: string,
  elements: Record<string, string | number>,
  more = '',
): Answer {
  const body = `<?xml version="1.0" encoding="UTF-8"?>\n${element(root, elements, more)}\n`;
  return {
    status,
    headers: { 'Content-Type': 'application/xml', 'Content-Length': Buffer.byteLength(body) },
    body,
  };
}

function element(name: string, children: Record<string, string | number>, more = ''): string {
  const inner = Object.entries(children).map(
    ([key, value]) => `<${key}>${escapeXml(value)}</${key}>`,
  );
  return `<${name}>${inner.join('')}${more}</${name}>`;
}

function escapeXml(value: string | number): string {
  return String(value).replace(/[<>&"]/g, (character) => `&#${character.charCodeAt(0)};`);
}
