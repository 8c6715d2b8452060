import type { Readable } from 'node:stream';
import { Busboy, type BusboyInstance } from '@fastify/busboy';
import { GatewayError } from '../core/errors.ts';
import { type Pace, requestBody } from './request-body.ts';

/** Texts by name, in the order in which they came: a list is a field that is given several times. */
export type FormFields = ReadonlyMap<string, readonly string[]>;

/** A form as a client sent it. */
export interface Form<File> {
  readonly fields: FormFields;
  readonly files: ReadonlyMap<string, File>;
}

/** Takes a file to its end; what it was called is only what the client says. */
export type ReceiveFile<File> = (body: Readable, fileName: string | null) => Promise<File>;

const limits = {
  fields: 64,
  files: 16,
  parts: 80,
  fieldNameSize: 200,
  fieldSize: 256 * 1024,
  headerPairs: 32,
  headerSize: 16 * 1024,
};
/** All fields together, in memory. */
const maxFieldBytes = 1024 * 1024;

export function isForm(request: Request): boolean {
  return /^multipart\/form-data\b/i.test(request.headers.get('content-type') ?? '');
}

/**
 * Reads a `multipart/form-data` body in constant memory, fields and files in any order. When this
 * throws, every file that was begun has been seen through to its end or its failure.
 *
 * @throws GatewayError `invalid_request` for a form that is broken, too large in its parts, or names
 *   a file twice; whatever `receive` throws.
 */
export async function readForm<File>(
  request: Request,
  receive: ReceiveFile<File>,
  pace: Pace,
): Promise<Form<File>> {
  const parser = openParser(request);
  const body = requestBody(request, pace);
  const fields = new Map<string, string[]>();
  const files = new Map<string, Promise<File>>();
  const unread = new Set<Readable>();
  const { promise: parsed, resolve, reject } = Promise.withResolvers<void>();
  let fieldBytes = 0;

  const nameOf = (name: string | undefined): string => {
    if (!name || name.length > limits.fieldNameSize) {
      throw invalid('A part of the form has no name, or too long a one');
    }
    return name;
  };
  const orReject = (act: () => void) => {
    try {
      act();
    } catch (error) {
      reject(error);
    }
  };
  parser.on('field', (fieldName, value, isNameCut, isValueCut) =>
    orReject(() => {
      const name = nameOf(fieldName);
      fieldBytes += value.length;
      if (isNameCut || isValueCut || fieldBytes > maxFieldBytes) {
        throw invalid(`${name}: is too long for a field`, name);
      }
      fields.set(name, [...(fields.get(name) ?? []), value]);
    }),
  );
  parser.on('file', (fieldName: string | undefined, stream: Readable, fileName?: string) => {
    // The parser tells of its end here and there; who reads the file hears of it too.
    stream.on('error', () => {});
    unread.add(stream);
    stream.once('close', () => unread.delete(stream));
    orReject(() => {
      const name = nameOf(fieldName);
      if (files.has(name)) throw givenTwice(name);
      const received = receive(stream, fileName ?? null);
      received.catch(reject);
      files.set(name, received);
    });
  });
  for (const limit of ['partsLimit', 'filesLimit', 'fieldsLimit'] as const) {
    parser.on(limit, () => reject(invalid('The form has too many parts')));
  }
  parser.on('error', (error) => reject(broken(error)));
  parser.on('finish', () => resolve());
  body.on('error', reject);

  body.pipe(parser);
  try {
    await parsed;
    const received = [...files].map(async ([name, file]) => [name, await file] as const);
    return { fields, files: new Map(await Promise.all(received)) };
  } catch (error) {
    body.unpipe(parser);
    for (const stream of unread) stream.destroy(error as Error);
    await Promise.allSettled(files.values());
    body.destroy();
    throw error;
  }
}

/**
 * The text of a field that is no list; `undefined` where there is none.
 *
 * @throws GatewayError `invalid_request` where there are several.
 */
export function onlyText(fields: FormFields, name: string): string | undefined {
  const texts = fields.get(name) ?? [];
  if (texts.length > 1) throw givenTwice(name);
  return texts[0];
}

function openParser(request: Request): BusboyInstance {
  const contentType = request.headers.get('content-type') ?? '';
  try {
    return new Busboy({ headers: { 'content-type': contentType }, limits });
  } catch (error) {
    throw broken(error);
  }
}

function broken(cause: unknown): GatewayError {
  const message = 'The form is broken: a boundary is missing, or it ends before its last part does';
  return new GatewayError('invalid_request', message, { cause });
}

function givenTwice(name: string): GatewayError {
  return invalid(`${name}: is there twice`, name);
}

function invalid(message: string, field?: string): GatewayError {
  return new GatewayError('invalid_request', message, field === undefined ? {} : { field });
}
