/**
 * multipart/form-data (RFC 7578) as a stream: parts come one after the other, and a part's bytes are
 * handed on as they arrive. At most one delimiter's length is held back.
 */

export interface Part {
  readonly name: string;
  /** `null`: a field. A field's name may be sent with an empty file name, which counts as none. */
  readonly filename: string | null;
  /** Must be read to its end before the next part is asked for. */
  readonly body: AsyncGenerator<Buffer>;
}

export class MalformedMultipart extends Error {}

const lineEnd = '\r\n';
const headersEnd = Buffer.from('\r\n\r\n');
const maxHeaderBytes = 16_384;

/** The boundary that a Content-Type names, or `null`. */
export function boundaryOf(contentType: string | undefined): string | null {
  if (!/^multipart\/form-data\b/i.test(contentType ?? '')) return null;
  const match = /;\s*boundary=(?:"([^"]+)"|([^\s;]+))/i.exec(contentType ?? '');
  return match?.[1] ?? match?.[2] ?? null;
}

export async function* readParts(
  source: AsyncIterable<Buffer>,
  boundary: string,
): AsyncGenerator<Part> {
  const input = new Lookahead(source);
  // The first delimiter may stand at the very start, without the line end that belongs to it.
  input.unshift(Buffer.from(lineEnd));
  const delimiter = Buffer.from(`${lineEnd}--${boundary}`);
  for await (const _ of input.until(delimiter)) {
    // What stands before the first delimiter is a preamble, and meant for nobody.
  }
  while ((await input.take(2)).toString() !== '--') {
    const headers = await readHeaders(input);
    const body = input.until(delimiter);
    yield { ...parseDisposition(headers), body };
    for await (const _ of body) {
      // Whatever the reader left.
    }
  }
}

/** The line end behind a delimiter has been taken already, so that an empty header block is `\r\n`. */
async function readHeaders(input: Lookahead): Promise<string> {
  input.unshift(Buffer.from(lineEnd));
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of input.until(headersEnd)) {
    size += chunk.length;
    if (size > maxHeaderBytes) throw new MalformedMultipart('part headers are too long');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parseDisposition(headers: string): Pick<Part, 'name' | 'filename'> {
  const line = headers.split(lineEnd).find((each) => /^content-disposition:/i.test(each));
  if (line === undefined) throw new MalformedMultipart('a part has no Content-Disposition');
  const filename = parameter(line, 'filename');
  return { name: parameter(line, 'name') ?? '', filename: filename === '' ? null : filename };
}

/** A quoted value loses its backslashes, as in the recordings: `..\a5.png` becomes `..a5.png`. */
function parameter(line: string, name: string): string | null {
  const match = new RegExp(`;\\s*${name}=(?:"((?:[^"\\\\]|\\\\.)*)"|([^;\\s]*))`, 'i').exec(line);
  if (match === null) return null;
  return match[1]?.replaceAll(/\\(.)/g, '$1') ?? match[2] ?? '';
}

/** A byte stream that can be read up to a mark. */
class Lookahead {
  readonly #source: AsyncIterator<Buffer>;
  #held: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  unshift(bytes: Buffer): void {
    this.#held = Buffer.concat([bytes, this.#held]);
  }

  async take(size: number): Promise<Buffer> {
    while (this.#held.length < size) await this.#more();
    const taken = this.#held.subarray(0, size);
    this.#held = this.#held.subarray(size);
    return taken;
  }

  /** Everything before the mark; the mark itself is swallowed. */
  async *until(mark: Buffer): AsyncGenerator<Buffer> {
    for (;;) {
      const found = this.#held.indexOf(mark);
      if (found >= 0) {
        const rest = this.#held.subarray(0, found);
        this.#held = this.#held.subarray(found + mark.length);
        if (rest.length > 0) yield rest;
        return;
      }
      // The mark may have begun in the last bytes.
      const safe = this.#held.length - mark.length + 1;
      if (safe > 0) {
        const ready = this.#held.subarray(0, safe);
        this.#held = this.#held.subarray(safe);
        yield ready;
      }
      await this.#more();
    }
  }

  async #more(): Promise<void> {
    const { value, done } = await this.#source.next();
    if (done) throw new MalformedMultipart('the body ended inside a part');
    this.#held = this.#held.length === 0 ? value : Buffer.concat([this.#held, value]);
  }
}
