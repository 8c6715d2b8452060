import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Blob, Bucket, type StoredBlob, type Upload } from './bucket-server/bucket.ts';
import { type Fault, Faults, faultyBody, type RequestView } from './bucket-server/faults.ts';

export interface BucketServerOptions {
  readonly bucket?: string;
  /** What the server takes for the time, in milliseconds. */
  readonly now?: () => number;
  /** It joins no parts under this size but the last. */
  readonly minPartBytes?: number;
  /** Of a listing. */
  readonly maxPartsPerPage?: number;
  /** It copies no larger objects in one request. */
  readonly maxCopyBytes?: number;
}

export interface Refusal {
  readonly code: string;
  readonly message: string;
}

/** A request as the service tells what it means. */
export interface Located {
  readonly bucket: string;
  readonly key: string;
}

export interface LoggedRequest extends RequestView {
  /** As it was sent, encoded. */
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly requestId: string;
  /** `null` when the connection was cut instead of answered. */
  status: number | null;
}

/**
 * One bucket behind plain HTTP, of OSS or S3, which have most in common: objects, multipart uploads,
 * errors in XML, and faults on request.
 */
export abstract class BucketServer implements AsyncDisposable {
  readonly bucketName: string;
  readonly requests: LoggedRequest[] = [];
  readonly bucket: Bucket;
  readonly #faults = new Faults();
  readonly #now: () => number;
  readonly #minPartBytes: number;
  readonly #maxPartsPerPage: number;
  readonly #maxCopyBytes: number;
  readonly #folder: string;
  readonly #server: Server;

  protected constructor(options: BucketServerOptions) {
    this.bucketName = options.bucket ?? 'results';
    this.#folder = mkdtempSync(join(tmpdir(), 'bucket-server-'));
    this.bucket = new Bucket(this.#folder);
    this.#now = options.now ?? Date.now;
    this.#minPartBytes = options.minPartBytes ?? 100 * 1024;
    this.#maxPartsPerPage = options.maxPartsPerPage ?? 1_000;
    this.#maxCopyBytes = options.maxCopyBytes ?? Number.POSITIVE_INFINITY;
    this.#server = createServer((request, response) => void this.#serve(request, response));
    this.#server.requestTimeout = 0;
  }

  /** The header that carries the request's id. */
  protected abstract readonly requestIdHeader: string;
  /** The header that names the object to copy; with `-range` behind it, the one of a part. */
  protected abstract readonly copySourceHeader: string;
  protected abstract locate(url: URL, headers: IncomingMessage['headers']): Located;
  /** Why the request is not let in, or `null`. */
  protected abstract refuse(request: LoggedRequest, located: Located, now: number): Refusal | null;
  /** Headers that say what was stored. */
  protected abstract checksums(blob: Pick<StoredBlob, 'etag' | 'crc64'>): Record<string, string>;
  /** Whether a range that lies outside of the object is refused. */
  protected abstract refusesRange(headers: IncomingMessage['headers']): boolean;
  /** How an error of a HEAD is told, if at all. */
  protected abstract errorOfHead(body: string): Record<string, string>;
  /** Why what was received is not stored, or `null`. */
  protected abstract refuseBody(
    headers: IncomingMessage['headers'],
    blob: Blob,
  ): Promise<string | null>;

  protected async listen(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return this;
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

  /** Forgets the faults that still wait. */
  mend(): void {
    this.#faults.clear();
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
    const located = this.locate(url, request.headers);
    const logged: LoggedRequest = {
      method: request.method ?? '',
      key: located.key,
      path: url.pathname,
      query: url.searchParams,
      headers: request.headers,
      requestId: `REQUEST-${this.requests.length}`,
      status: null,
    };
    this.requests.push(logged);
    const fault = this.#faults.take(logged);
    const answer = await this.#answer(request, logged, located, fault).catch((error: unknown) => {
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
      [this.requestIdHeader]: logged.requestId,
      ...answer.headers,
      ...(request.method === 'HEAD' && answer.status >= 400 && typeof answer.body === 'string'
        ? { ...this.errorOfHead(answer.body), 'Content-Length': 0 }
        : {}),
    });
    if (request.method === 'HEAD' || answer.body === undefined) response.end();
    else if (typeof answer.body === 'string') response.end(answer.body);
    else await pipeline(answer.body, response).catch(() => {});
  }

  async #answer(
    request: IncomingMessage,
    logged: LoggedRequest,
    located: Located,
    fault: Fault | null,
  ): Promise<Answer> {
    this.#admit(logged, located);
    if (fault?.kind === 'answer') throw new Refused(fault.status, fault.code, logged);
    if (fault?.kind === 'stall' && !hasBody(request)) {
      await new Promise((resolve) => request.socket.once('close', resolve));
    }
    if (fault?.kind === 'reset' && !hasBody(request)) request.socket.resetAndDestroy();

    const { method, query } = logged;
    const body = () => faultyBody(request, fault);
    const uploadId = query.get('uploadId');
    if (method === 'GET' && query.has('uploads')) return this.#listUploads(query);
    if (method === 'POST' && query.has('uploads')) return this.#begin(request, logged);
    if (uploadId !== null) {
      const upload = this.bucket.uploads.get(uploadId);
      if (!upload || upload.key !== logged.key) throw new Refused(404, 'NoSuchUpload', logged);
      if (method === 'PUT') return await this.#putPart(request, upload, logged, body(), fault);
      if (method === 'POST') return await this.#complete(uploadId, upload, logged, body());
      if (method === 'GET') return this.#listParts(uploadId, upload, query);
      if (method === 'DELETE') {
        await this.bucket.abandon(uploadId);
        return { status: 204 };
      }
    }
    if (method === 'PUT') return await this.#putObject(request, logged, body(), fault);
    if (method === 'GET' || method === 'HEAD') return this.#getObject(request, logged);
    if (method === 'DELETE') {
      this.bucket.objects.delete(logged.key);
      return { status: 204 };
    }
    throw new Refused(405, 'MethodNotAllowed', logged);
  }

  #admit(logged: LoggedRequest, located: Located): void {
    if (located.bucket !== this.bucketName) throw new Refused(404, 'NoSuchBucket', logged);
    const refusal = this.refuse(logged, located, this.#now());
    if (refusal) throw new Refused(403, refusal.code, logged, refusal.message);
  }

  /** The received bytes, if they are those that were announced. */
  async #receive(
    { headers }: IncomingMessage,
    logged: LoggedRequest,
    body: AsyncIterable<Buffer>,
  ): Promise<Blob> {
    const blob = await this.bucket.write(body);
    const refusal = await this.refuseBody(headers, blob);
    if (refusal) throw new Refused(400, refusal, logged);
    return blob;
  }

  async #putObject(
    request: IncomingMessage,
    logged: LoggedRequest,
    body: AsyncIterable<Buffer>,
    fault: Fault | null,
  ): Promise<Answer> {
    const source = this.#copySource(request, logged);
    if (source) {
      if (source.object.size > this.#maxCopyBytes) throw new Refused(400, 'InvalidRequest', logged);
      const blob = await this.#copy(source, fault);
      return this.#copied(this.bucket.put(logged.key, blob, source.object.contentType), 'Object');
    }
    const blob = await this.#receive(request, logged, body);
    const stored = this.bucket.put(logged.key, blob, typeOf(request));
    return { status: 200, headers: this.checksums(stored) };
  }

  /** What the request wants copied; `null` where it brings bytes. */
  #copySource({ headers }: IncomingMessage, logged: LoggedRequest): CopySource | null {
    const named = headers[this.copySourceHeader];
    if (typeof named !== 'string') return null;
    const [, bucket, key = ''] = /^\/?([^/]+)\/(.+)$/.exec(decodeURIComponent(named)) ?? [];
    if (bucket !== this.bucketName) throw new Refused(404, 'NoSuchBucket', logged);
    const object = this.bucket.objects.get(key);
    if (!object) throw new Refused(404, 'NoSuchKey', logged);
    const range = /^bytes=(\d+)-(\d+)$/.exec(String(headers[`${this.copySourceHeader}-range`]));
    const [start, end] = range ? [Number(range[1]), Number(range[2])] : [0, object.size - 1];
    if (range && end >= object.size) throw new Refused(416, 'InvalidRange', logged);
    return { object, start, end };
  }

  async #copy({ object, start, end }: CopySource, fault: Fault | null): Promise<Blob> {
    const { bucket } = this;
    async function* bytes(): AsyncGenerator<Buffer> {
      let isFirst = true;
      for await (const chunk of bucket.read(object, start, end)) {
        if (isFirst && fault?.kind === 'corrupt') chunk[0] = (chunk[0] ?? 0) ^ 1;
        isFirst = false;
        yield chunk;
      }
    }
    return await bucket.write(bytes());
  }

  #copied(blob: Pick<StoredBlob, 'etag' | 'crc64'>, what: 'Object' | 'Part'): Answer {
    const checksums = this.checksums(blob);
    const elements = { ETag: checksums.ETag ?? '', LastModified: new Date().toISOString() };
    const answer = xml(200, `Copy${what}Result`, elements);
    return { ...answer, headers: { ...answer.headers, ...checksums } };
  }

  #getObject(request: IncomingMessage, logged: LoggedRequest): Answer {
    const found = this.bucket.objects.get(logged.key);
    if (!found) throw new Refused(404, 'NoSuchKey', logged);
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
    const start = Number(range?.[1] ?? 0);
    const end = Math.min(found.size, Number(range?.[2] || found.size) + 1) - 1;
    const possible = range !== null && start <= end;
    if (range && !possible && this.refusesRange(request.headers)) {
      throw new Refused(416, 'InvalidRange', logged);
    }
    const headers = {
      ...this.checksums(found),
      'Content-Type': found.contentType,
      'Content-Length': possible ? end - start + 1 : found.size,
      'Last-Modified': found.modifiedAt.toUTCString(),
      'Accept-Ranges': 'bytes',
      ...(possible && { 'Content-Range': `bytes ${start}-${end}/${found.size}` }),
    };
    const body =
      request.method === 'HEAD'
        ? undefined
        : Readable.from(
            possible
              ? this.bucket.read(found, start, end)
              : this.bucket.read(found, 0, found.size - 1),
          );
    return { status: possible ? 206 : 200, headers, body };
  }

  #begin(request: IncomingMessage, logged: LoggedRequest): Answer {
    const uploadId = this.bucket.begin(logged.key, typeOf(request));
    const elements = { Bucket: this.bucketName, Key: logged.key, UploadId: uploadId };
    return xml(200, 'InitiateMultipartUploadResult', elements);
  }

  async #putPart(
    request: IncomingMessage,
    upload: Upload,
    logged: LoggedRequest,
    body: AsyncIterable<Buffer>,
    fault: Fault | null,
  ): Promise<Answer> {
    const number = Number(logged.query.get('partNumber'));
    if (!(number >= 1 && number <= 10_000)) throw new Refused(400, 'InvalidArgument', logged);
    const source = this.#copySource(request, logged);
    const blob = source
      ? await this.#copy(source, fault)
      : await this.#receive(request, logged, body);
    upload.parts.set(number, blob);
    const part = { ...blob, etag: `"${blob.md5}"` };
    return source ? this.#copied(part, 'Part') : { status: 200, headers: this.checksums(part) };
  }

  async #complete(
    uploadId: string,
    upload: Upload,
    logged: LoggedRequest,
    body: AsyncIterable<Buffer>,
  ): Promise<Answer> {
    const listed = await text(body);
    const wanted = [...listed.matchAll(/<Part>([\s\S]*?)<\/Part>/g)];
    const parts = wanted.map(([, listedPart = '']) => {
      const number = /<PartNumber>(\d+)</.exec(listedPart)?.[1];
      const etag = /<ETag>(.+?)</.exec(listedPart)?.[1] ?? '';
      const part = upload.parts.get(Number(number));
      if (!part || plain(etag) !== part.md5) {
        throw new Refused(400, 'InvalidPart', logged);
      }
      return part;
    });
    if (parts.slice(0, -1).some((part) => part.size < this.#minPartBytes)) {
      throw new Refused(400, 'EntityTooSmall', logged);
    }
    const stored = this.bucket.complete(uploadId, upload, parts);
    const elements = { Bucket: this.bucketName, Key: upload.key, ETag: stored.etag };
    const answer = xml(200, 'CompleteMultipartUploadResult', elements);
    return { ...answer, headers: { ...answer.headers, ...this.checksums(stored) } };
  }

  #listUploads(query: URLSearchParams): Answer {
    const uploads = [...this.bucket.uploads]
      .filter(([, { key }]) => key.startsWith(query.get('prefix') ?? ''))
      .map(([id, { key, initiatedAt }]) =>
        element('Upload', { Key: key, UploadId: id, Initiated: initiatedAt.toISOString() }),
      );
    const elements = { Bucket: this.bucketName, IsTruncated: 'false' };
    return xml(200, 'ListMultipartUploadsResult', elements, uploads.join(''));
  }

  #listParts(uploadId: string, upload: Upload, query: URLSearchParams): Answer {
    const after = Number(query.get('part-number-marker') ?? 0);
    const left = [...upload.parts].sort(([a], [b]) => a - b).filter(([number]) => number > after);
    const page = left.slice(0, this.#maxPartsPerPage);
    const parts = page.map(([number, part]) => {
      const ETag = this.checksums({ ...part, etag: `"${part.md5}"` }).ETag ?? '';
      return element('Part', { PartNumber: number, ETag, Size: part.size });
    });
    const elements = {
      Bucket: this.bucketName,
      Key: upload.key,
      UploadId: uploadId,
      NextPartNumberMarker: page.at(-1)?.[0] ?? after,
      IsTruncated: String(page.length < left.length),
    };
    return xml(200, 'ListPartsResult', elements, parts.join(''));
  }
}

interface CopySource {
  readonly object: StoredBlob;
  /** Both ends included. */
  readonly start: number;
  readonly end: number;
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

/** An ETag as the bucket keeps it. */
function plain(etag: string): string {
  return etag.replace(/&quot;|&#34;|"/g, '').toUpperCase();
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
