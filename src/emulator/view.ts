/** `GET /view`: files of the three folders, with ranges and validators as aiohttp serves them. */
import type { BigIntStats } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { IncomingHttpHeaders } from 'node:http';
import path from 'node:path';
import sharp from 'sharp';
import { type Folders, isInside, parseAnnotation } from './folders.ts';
import { empty, type FilePart, type Reply } from './reply.ts';
import { isFolderType } from './wire.ts';

export async function view(
  query: URLSearchParams,
  headers: IncomingHttpHeaders,
  folders: Folders,
): Promise<Reply> {
  const annotated = query.get('filename');
  if (annotated === null) return empty(404);
  const { name, type: annotatedType } = parseAnnotation(annotated);
  if (name === '' || name.startsWith('/') || name.includes('..')) return empty(400);
  const type = annotatedType ?? query.get('type') ?? 'output';
  if (!isFolderType(type)) return empty(400);
  const folder = path.resolve(folders[type], query.get('subfolder') ?? '');
  if (!isInside(folders[type], folder)) return empty(403);
  const filename = path.basename(name);
  const file = path.join(folder, filename);
  const stats = await stat(file, { bigint: true }).catch(() => null);
  if (!stats?.isFile()) return empty(404);
  const preview = query.get('preview');
  if (preview !== null) return transcode(file, filename, preview);
  return serveFile(file, filename, stats, headers);
}

async function transcode(file: string, filename: string, preview: string): Promise<Reply> {
  const [format, quality] = preview.split(';');
  const isJpeg = format === 'jpeg';
  const options = { quality: Number(quality) || 90 };
  const image = sharp(file, { failOn: 'none', limitInputPixels: false });
  const body = await (isJpeg ? image.jpeg(options) : image.webp(options)).toBuffer();
  return {
    status: 200,
    headers: {
      'Content-Disposition': disposition(filename),
      'Content-Type': isJpeg ? 'image/jpeg' : 'image/webp',
    },
    body,
  };
}

function serveFile(
  file: string,
  filename: string,
  stats: BigIntStats,
  headers: IncomingHttpHeaders,
): Reply {
  const size = Number(stats.size);
  const etag = `"${stats.mtimeNs.toString(16)}-${size.toString(16)}"`;
  const modified = new Date(Number(stats.mtimeMs)).toUTCString();
  const described = {
    'Content-Disposition': disposition(filename),
    'Content-Type': contentTypeOf(filename),
  };
  const versioned = { ...described, ETag: etag, 'Last-Modified': modified };
  if (isUnchanged(headers, etag, modified)) return { status: 304, headers: versioned };

  const range = isRangeAsked(headers, etag, modified)
    ? parseRange(headers.range ?? '', size)
    : null;
  if (range === 'unsatisfiable') {
    return { status: 416, headers: { ...described, 'Content-Range': `bytes */${size}` } };
  }
  const body: FilePart = { file, start: range?.start ?? 0, length: range?.length ?? size };
  const whole = { ...versioned, 'Accept-Ranges': 'bytes', 'Content-Length': String(body.length) };
  if (range === null) return { status: 200, headers: whole, body };
  const last = range.start + range.length - 1;
  const part = { ...whole, 'Content-Range': `bytes ${range.start}-${last}/${size}` };
  return { status: 206, headers: part, body };
}

function isUnchanged(headers: IncomingHttpHeaders, etag: string, modified: string): boolean {
  const noneMatch = headers['if-none-match'];
  if (noneMatch !== undefined) {
    return noneMatch
      .split(',')
      .some((each) => ['*', etag].includes(each.trim().replace(/^W\//, '')));
  }
  const since = headers['if-modified-since'];
  return since !== undefined && Date.parse(modified) <= Date.parse(since);
}

/** `If-Range` with another version turns the range into the whole file. */
function isRangeAsked(headers: IncomingHttpHeaders, etag: string, modified: string): boolean {
  if (headers.range === undefined) return false;
  const condition = headers['if-range'];
  if (typeof condition !== 'string') return true;
  if (condition.includes('"')) return condition === etag;
  return Date.parse(modified) <= Date.parse(condition);
}

/** One range, open at either end. Several ranges, or one past the end, cannot be satisfied. */
export function parseRange(
  header: string,
  size: number,
): { readonly start: number; readonly length: number } | 'unsatisfiable' {
  const [, from = '', to = ''] = /^bytes=(\d*)-(\d*)$/.exec(header) ?? [];
  if (from === '' && to === '') return 'unsatisfiable';
  if (from === '') {
    const length = Math.min(Number(to), size);
    return length === 0 ? 'unsatisfiable' : { start: size - length, length };
  }
  const start = Number(from);
  const end = to === '' ? size : Math.min(Number(to) + 1, size);
  if (start >= end) return 'unsatisfiable';
  return { start, length: end - start };
}

/** As recorded: the name stands as it is, quotes and all. */
function disposition(filename: string): string {
  return `filename="${Buffer.from(filename, 'utf8').toString('latin1')}"`;
}

/** What a browser would run is served as mere bytes. */
function contentTypeOf(filename: string): string {
  return contentTypes[path.extname(filename).toLowerCase()] ?? 'application/octet-stream';
}

const contentTypes: Readonly<Record<string, string>> = {
  '.png': 'image/png',
  '.jpg': 'image/jpeg',
  '.jpeg': 'image/jpeg',
  '.webp': 'image/webp',
  '.gif': 'image/gif',
  '.bmp': 'image/bmp',
  '.tif': 'image/tiff',
  '.tiff': 'image/tiff',
  '.avif': 'image/avif',
  '.mp4': 'video/mp4',
  '.mov': 'video/quicktime',
  '.webm': 'video/webm',
  '.mkv': 'video/x-matroska',
  '.json': 'application/json',
  '.txt': 'text/plain',
  '.svg': 'application/octet-stream',
  '.flac': 'audio/flac',
  '.mp3': 'audio/mpeg',
};
