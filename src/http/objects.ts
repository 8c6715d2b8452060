import { Readable } from 'node:stream';
import { Hono } from 'hono';
import { GatewayError } from '../core/errors.ts';

interface ObjectStat {
  readonly size: number;
  readonly contentType: string;
  readonly modifiedAt: Date;
  readonly etag: string;
}

/** What these routes need of a store. */
export interface ObjectReader {
  stat(key: string, signal: AbortSignal): Promise<ObjectStat | null>;
  open(
    key: string,
    range: { start: number; end: number } | null,
    signal: AbortSignal,
  ): Promise<(ObjectStat & { readonly body: Readable }) | null>;
}

/**
 * Serves stored objects. Their bytes come from clients and GPUs: a browser may show a picture or a
 * clip, but runs nothing in it and guesses no other type.
 */
export function objectRoutes(store: ObjectReader): Hono {
  const app = new Hono();
  app.get('/objects/:key{.+}', async (context) => {
    const { signal } = context.req.raw;
    const key = context.req.param('key');
    const stat = await store.stat(key, signal).catch(() => null);
    if (!stat) throw new GatewayError('object_not_found', 'There is no such object');
    const headers = objectHeaders(key, stat);
    if (isFresh(context.req.header('if-none-match'), stat.etag)) {
      return context.body(null, 304, headers);
    }
    const range = parseRange(context.req.header('range'), stat.size);
    if (range === 'unsatisfiable') {
      return context.body(null, 416, { ...headers, 'content-range': `bytes */${stat.size}` });
    }
    const length = range ? range.end - range.start + 1 : stat.size;
    const answer = {
      ...headers,
      'content-length': String(length),
      ...(range ? { 'content-range': `bytes ${range.start}-${range.end}/${stat.size}` } : {}),
    };
    const status = range ? 206 : 200;
    // Hono answers HEAD with GET's route and drops the body: there is no need to open one.
    if (context.req.method === 'HEAD') return context.body(null, status, answer);
    const opened = await store.open(key, range, signal);
    if (!opened) throw new GatewayError('object_not_found', 'There is no such object');
    return context.body(Readable.toWeb(opened.body) as ReadableStream, status, answer);
  });
  return app;
}

function objectHeaders(key: string, stat: ObjectStat): Record<string, string> {
  const isMedia = /^(image|video)\//.test(stat.contentType);
  const name = encodeURIComponent(key.slice(key.lastIndexOf('/') + 1));
  return {
    'content-type': stat.contentType,
    'content-disposition': `${isMedia ? 'inline' : 'attachment'}; filename*=UTF-8''${name}`,
    'content-security-policy': "default-src 'none'; sandbox",
    'x-content-type-options': 'nosniff',
    'accept-ranges': 'bytes',
    'cache-control': 'private, max-age=3600',
    'last-modified': stat.modifiedAt.toUTCString(),
    etag: stat.etag,
  };
}

function isFresh(ifNoneMatch: string | undefined, etag: string): boolean {
  const validators = ifNoneMatch?.split(',').map((part) => part.trim().replace(/^W\//, ''));
  return validators?.some((validator) => validator === etag || validator === '*') ?? false;
}

/**
 * A single range in bytes (RFC 9110 §14.2); `null` for none, for several and for a header that cannot
 * be read, which the RFC lets a server answer with the whole.
 */
export function parseRange(
  header: string | undefined,
  size: number,
): { start: number; end: number } | null | 'unsatisfiable' {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? '');
  if (!match || (match[1] === '' && match[2] === '')) return null;
  const [, first, last] = match;
  const start = first === '' ? Math.max(0, size - Number(last)) : Number(first);
  const end = first === '' || last === '' ? size - 1 : Math.min(Number(last), size - 1);
  if (first !== '' && last !== '' && Number(last) < Number(first)) return null;
  return start > end || start >= size ? 'unsatisfiable' : { start, end };
}
