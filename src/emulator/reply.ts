/** Answers, in the forms that aiohttp gives them. */
import { createReadStream } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';

export interface FilePart {
  readonly file: string;
  readonly start: number;
  readonly length: number;
}

export interface Reply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer | FilePart;
}

export function json(value: unknown, status = 200): Reply {
  const headers = { 'Content-Type': 'application/json; charset=utf-8' };
  return { status, headers, body: JSON.stringify(value) };
}

export function empty(status: number): Reply {
  return { status, body: '' };
}

export function text(status: number, body: string, headers: Record<string, string> = {}): Reply {
  return { status, headers: { 'Content-Type': 'text/plain; charset=utf-8', ...headers }, body };
}

/** What aiohttp says where a handler raised. */
export function serverError(): Reply {
  const body = '500 Internal Server Error\n\nServer got itself in trouble';
  return text(500, body, { Connection: 'close' });
}

export interface SendOptions {
  /** HEAD: the headers of the answer alone. */
  readonly isHead: boolean;
  /** Break off halfway through a file. */
  readonly isTruncated: boolean;
  /** Whether a file goes out a byte at a time, for as long as that is so. */
  readonly isDripping: () => boolean;
}

const dripMs = 5;

export async function send(
  response: ServerResponse,
  reply: Reply,
  { isHead, isTruncated, isDripping }: SendOptions,
): Promise<void> {
  const { status, headers = {}, body } = reply;
  response.statusCode = status;
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  if (body === undefined || isHead) {
    response.end();
    return;
  }
  if (typeof body === 'string' || Buffer.isBuffer(body)) {
    response.setHeader('Content-Length', Buffer.byteLength(body));
    response.end(body);
    return;
  }
  const { file, start, length } = body;
  const sent = isTruncated ? Math.floor(length / 2) : length;
  if (sent > 0) {
    const source = createReadStream(file, { start, end: start + sent - 1 });
    const pieces = (chunks: AsyncIterable<Buffer>) => dripping(chunks, isDripping);
    await pipeline(source, pieces, response, { end: !isTruncated });
  } else {
    response.flushHeaders();
  }
  if (isTruncated) response.destroy();
  else response.end();
}

async function* dripping(
  chunks: AsyncIterable<Buffer>,
  isDripping: () => boolean,
): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) {
    let sent = 0;
    for (; sent < chunk.length && isDripping(); sent += 1) {
      yield chunk.subarray(sent, sent + 1);
      await sleep(dripMs, undefined, { ref: false });
    }
    yield chunk.subarray(sent);
  }
}
