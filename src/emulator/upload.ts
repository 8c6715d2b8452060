/** `POST /upload/image`: any file, into any of the three folders, under a name that is free. */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, rename, rm, stat } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { type Folders, isInside } from './folders.ts';
import { boundaryOf, type Part, readParts } from './multipart.ts';
import { empty, json, type Reply, serverError } from './reply.ts';
import { isFolderType } from './wire.ts';

interface Form {
  readonly fields: ReadonlyMap<string, string>;
  /** The uploaded bytes on disk, under the name that was sent. */
  readonly image: { readonly filename: string; readonly spool: string } | null;
}

/** What aiohttp says of a body past the limit, as soon as it has read that much. */
export class BodyTooLarge extends Error {
  constructor(maxBytes: number, readBytes: number) {
    super(`Maximum request body size ${maxBytes} exceeded, actual body size ${readBytes}`);
  }
}

export class Uploads {
  readonly #folders: Folders;
  readonly #maxBytes: number;
  /** ComfyUI looks for a free name and takes it in one go; so one upload at a time does. */
  #naming: Promise<unknown> = Promise.resolve();

  constructor(folders: Folders, maxBytes: number) {
    this.#folders = folders;
    this.#maxBytes = maxBytes;
  }

  async receive(request: IncomingMessage): Promise<Reply> {
    const spool = path.join(this.#folders.scratch, `${crypto.randomUUID()}.upload`);
    try {
      const form = await this.#readForm(request, spool);
      const placed = this.#naming.then(() => this.#place(form));
      this.#naming = placed.catch(() => {});
      return await placed;
    } finally {
      await rm(spool, { force: true });
    }
  }

  async #readForm(request: IncomingMessage, spool: string): Promise<Form> {
    const boundary = boundaryOf(request.headers['content-type']);
    const fields = new Map<string, string>();
    let image: Form['image'] = null;
    if (boundary === null) return { fields, image };
    let received = 0;
    const count = (bytes: number) => {
      received += bytes;
      if (received > this.#maxBytes) throw new BodyTooLarge(this.#maxBytes, received);
    };
    for await (const part of readParts(request, boundary)) {
      if (part.name === 'image' && part.filename !== null) {
        await pipeline(counted(part.body, count), createWriteStream(spool));
        image = { filename: part.filename, spool };
      } else {
        fields.set(part.name, await readField(part, count));
      }
    }
    return { fields, image };
  }

  async #place({ fields, image }: Form): Promise<Reply> {
    if (image === null) {
      // A field in place of a file trips ComfyUI, unless it is empty and so as good as none.
      return fields.get('image') ? serverError() : empty(400);
    }
    const type = fields.get('type') ?? 'input';
    if (!isFolderType(type) || path.isAbsolute(image.filename)) return serverError();
    const subfolder = fields.get('subfolder') ?? '';
    const base = this.#folders[type];
    const folder = path.resolve(base, subfolder);
    const wanted = path.resolve(folder, image.filename);
    // A file name may climb out of its subfolder, as long as it stays in the base.
    if (wanted === base || !isInside(base, wanted) || !isInside(base, folder)) return empty(400);
    await mkdir(folder, { recursive: true });
    const overwrites = ['true', '1'].includes(fields.get('overwrite') ?? '');
    const { name, isThere } = overwrites
      ? { name: image.filename, isThere: false }
      : await freeName(folder, image.filename, image.spool);
    try {
      if (!isThere) await rename(image.spool, path.resolve(folder, name));
    } catch {
      // A folder inside the file name that does not exist, or a name that is too long.
      return serverError();
    }
    return json({ name, subfolder, type });
  }
}

/** The first of `a.png`, `a (1).png`, `a (2).png`… that is free, or that has the same bytes. */
export async function freeName(
  folder: string,
  filename: string,
  spool: string,
): Promise<{ readonly name: string; readonly isThere: boolean }> {
  const { dir, name: stem, ext } = path.parse(filename);
  for (let copy = 0; ; copy++) {
    const name = copy === 0 ? filename : path.join(dir, `${stem} (${copy})${ext}`);
    const file = path.resolve(folder, name);
    if (!(await stat(file).catch(() => null))) return { name, isThere: false };
    if (await haveSameBytes(file, spool)) return { name, isThere: true };
  }
}

async function haveSameBytes(a: string, b: string): Promise<boolean> {
  if ((await stat(a)).size !== (await stat(b)).size) return false;
  return (await hashOf(a)) === (await hashOf(b));
}

async function hashOf(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

async function* counted(
  body: AsyncIterable<Buffer>,
  count: (bytes: number) => void,
): AsyncGenerator<Buffer> {
  for await (const chunk of body) {
    count(chunk.length);
    yield chunk;
  }
}

async function readField(part: Part, count: (bytes: number) => void): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of counted(part.body, count)) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}
