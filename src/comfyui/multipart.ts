import { randomUUID } from 'node:crypto';

/**
 * A form with one file, streamed, its exact length known beforehand. The platform's FormData either
 * holds the file in memory (1.7 GB for a file of 1.5 GB) or, given to `undici.request`, never sends.
 */
export interface MultipartFile {
  readonly field: string;
  /** ASCII without quotes or line ends; it goes into a header as it is. */
  readonly fileName: string;
  readonly contentType: string;
  /** Bytes that `content` yields. */
  readonly size: number;
  readonly content: AsyncIterable<Uint8Array>;
  readonly fields: Readonly<Record<string, string>>;
}

/** What a form has beside its file is never more: three fields, and a path of an attempt. */
export const mostAroundFileBytes = 1_024;

export function multipartFile(file: MultipartFile): {
  headers: { 'content-type': string; 'content-length': string };
  body: AsyncGenerator<Uint8Array>;
} {
  const boundary = `tmlsr-${randomUUID()}`;
  const head = Buffer.from(
    Object.entries(file.fields)
      .map(([name, value]) => `--${boundary}\r\n${disposition(name)}\r\n\r\n${value}\r\n`)
      .join('') +
      `--${boundary}\r\n${disposition(file.field)}; filename="${file.fileName}"\r\n` +
      `content-type: ${file.contentType}\r\n\r\n`,
  );
  const tail = Buffer.from(`\r\n--${boundary}--\r\n`);
  return {
    headers: {
      'content-type': `multipart/form-data; boundary=${boundary}`,
      'content-length': String(head.length + file.size + tail.length),
    },
    body: parts(head, file, tail),
  };
}

async function* parts(
  head: Uint8Array,
  { content }: MultipartFile,
  tail: Uint8Array,
): AsyncGenerator<Uint8Array> {
  yield head;
  yield* content;
  yield tail;
}

function disposition(name: string): string {
  return `content-disposition: form-data; name="${name}"`;
}
