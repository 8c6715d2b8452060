import { Readable } from 'node:stream';
import type { Context } from 'hono';
import { mayRunScripts } from '../core/result-format.ts';

/** What is known of a stored file before it is read. */
export interface FileStat {
  readonly size: number;
  readonly contentType: string;
  readonly modifiedAt: Date;
  /** Quoted, as in an ETag header. */
  readonly etag: string;
}

/** Offsets in bytes, both inclusive. */
export interface FileRange {
  readonly start: number;
  readonly end: number;
}

export interface StoredFile {
  readonly stat: FileStat;
  /** The bytes of the range, or of everything; `null` when it has gone meanwhile. */
  readonly open: (range: FileRange | null) => Promise<{ readonly body: Readable } | null>;
  /** Headers of its own; they go before those that follow from the file. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Answers with a file, or with the part that was asked for; `null` when it has gone. */
export async function sendFile(
  context: Context,
  { stat, open, headers }: StoredFile,
): Promise<Response | null> {
  const all = { ...headersOf(stat), ...headers };
  if (isFresh(context.req.header('if-none-match'), stat.etag)) return context.body(null, 304, all);
  const range = mayHavePart(context.req.header('if-range'), stat)
    ? parseRange(context.req.header('range'), stat.size)
    : null;
  if (range === 'unsatisfiable') {
    return context.body(null, 416, { ...all, 'content-range': `bytes */${stat.size}` });
  }
  const length = range ? range.end - range.start + 1 : stat.size;
  const answer = {
    ...all,
    'content-length': String(length),
    ...(range ? { 'content-range': `bytes ${range.start}-${range.end}/${stat.size}` } : {}),
  };
  const status = range ? 206 : 200;
  // Hono answers HEAD with GET's route and drops the body: there is no need to open one.
  if (context.req.method === 'HEAD') return context.body(null, status, answer);
  const opened = await open(range);
  if (!opened) return null;
  return context.body(Readable.toWeb(opened.body) as ReadableStream, status, answer);
}

/**
 * A browser shows a file in a page of its own making, whose picture or clip is that file again: it may load
 * from here, and style itself. Nothing else may, and nothing runs.
 */
const filePolicy = [
  "default-src 'none'",
  "img-src 'self'",
  "media-src 'self'",
  "style-src 'unsafe-inline'",
  'sandbox allow-same-origin',
].join('; ');

/**
 * The bytes come from clients and GPUs: a browser may show a picture or a clip, but runs nothing in it
 * and guesses no other type.
 */
function headersOf({ contentType, modifiedAt, etag }: FileStat): Record<string, string> {
  return {
    'content-type': contentType,
    'content-security-policy': filePolicy,
    'x-content-type-options': 'nosniff',
    'accept-ranges': 'bytes',
    'cache-control': 'private, max-age=3600',
    'last-modified': modifiedAt.toUTCString(),
    etag,
  };
}

/** `inline` where a browser can show it without running anything; the name in the form that takes any (RFC 6266). */
export function disposition(name: string, contentType: string): string {
  const isMedia = /^(image|video|audio)\//.test(contentType);
  const isShown = isMedia && !mayRunScripts(contentType);
  return `${isShown ? 'inline' : 'attachment'}; ${fileName(name)}`;
}

export function fileName(name: string): string {
  return `filename*=UTF-8''${encodeURIComponent(name)}`;
}

/** Whoever has a part of another file gets the whole of this one (RFC 9110 §13.1.5). */
function mayHavePart(ifRange: string | undefined, { etag, modifiedAt }: FileStat): boolean {
  return ifRange === undefined || ifRange === etag || ifRange === modifiedAt.toUTCString();
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
