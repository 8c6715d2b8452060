import { randomUUID } from 'node:crypto';

/** A file of a form, and what the client calls it. */
export interface FormFile {
  readonly bytes: Buffer;
  readonly fileName: string;
}

/** A form in the bytes that go over the wire, its parts in the order in which they stand. */
export function multipartForm(
  parts: readonly (readonly [name: string, value: string | FormFile])[],
): {
  readonly contentType: string;
  readonly body: Buffer;
} {
  const boundary = `form-${randomUUID()}`;
  const chunks = parts.flatMap(([name, value]) => {
    const isText = typeof value === 'string';
    const fileName = isText ? '' : `; filename="${value.fileName}"`;
    const type = isText ? '' : '\r\ncontent-type: application/octet-stream';
    const head = `--${boundary}\r\ncontent-disposition: form-data; name="${name}"${fileName}${type}\r\n\r\n`;
    return [Buffer.from(head), isText ? Buffer.from(value) : value.bytes, Buffer.from('\r\n')];
  });
  const body = Buffer.concat([...chunks, Buffer.from(`--${boundary}--\r\n`)]);
  return { contentType: `multipart/form-data; boundary=${boundary}`, body };
}
