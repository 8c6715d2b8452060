import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import type { GatewayError } from '../core/errors.ts';
import { realTempo } from '../core/tempo.ts';
import { type Form, onlyText, readForm } from './multipart.ts';
import { paceOf } from './request-body.ts';

const boundary = '----form7';

function part(name: string | null, value: string, fileName: string | null = null): string {
  const disposition = [
    'form-data',
    ...(name === null ? [] : [`name="${name}"`]),
    ...(fileName === null ? [] : [`filename="${fileName}"`]),
  ];
  return `--${boundary}\r\ncontent-disposition: ${disposition.join('; ')}\r\n\r\n${value}\r\n`;
}

const end = `--${boundary}--\r\n`;

/** The body comes in pieces of so many bytes, as networks will have it. */
function requestOf(
  body: string | ReadableStream<Uint8Array>,
  { pieceBytes = 7, type = `multipart/form-data; boundary=${boundary}` } = {},
): Request {
  const bytes = typeof body === 'string' ? Buffer.from(body) : null;
  const stream = bytes
    ? new ReadableStream<Uint8Array>({
        start(controller) {
          for (let at = 0; at < bytes.length; at += pieceBytes) {
            controller.enqueue(new Uint8Array(bytes.subarray(at, at + pieceBytes)));
          }
          controller.close();
        },
      })
    : (body as ReadableStream<Uint8Array>);
  const headers = { 'content-type': type };
  return new Request('http://gateway/tasks', {
    method: 'POST',
    headers,
    body: stream,
    duplex: 'half',
  } as RequestInit);
}

/** Reads all of a file, as text; counts those that were begun and those that were seen through. */
class Receiver {
  begun = 0;
  ended = 0;
  readonly names: (string | null)[] = [];

  receive = async (body: AsyncIterable<Buffer>, name: string | null): Promise<string> => {
    this.begun += 1;
    this.names.push(name);
    try {
      const chunks: Buffer[] = [];
      for await (const chunk of body) chunks.push(chunk);
      return Buffer.concat(chunks).toString();
    } finally {
      this.ended += 1;
    }
  };
}

const usual = paceOf(realTempo.http);

async function read(request: Request, receiver = new Receiver()): Promise<Form<string>> {
  return await readForm(request, receiver.receive, usual);
}

async function assertRefused(request: Request, code: string, field?: string): Promise<void> {
  const receiver = new Receiver();
  await assert.rejects(read(request, receiver), (error: GatewayError) => {
    assert.equal(error.code, code, `${error.code}: ${error.message}`);
    assert.equal(error.field, field);
    return true;
  });
  assert.equal(receiver.ended, receiver.begun, 'a file is still being read');
}

const file = part('file', 'x'.repeat(300), 'a.png');

test('reads fields and files in any order, however the body is cut', async () => {
  const body =
    part('outscale', '2') + part('file', 'AAAA\r\n--', 'a.png') + part('type', 'image') + end;
  for (const pieceBytes of [1, 2, 13, 64, 100_000]) {
    const receiver = new Receiver();
    const form = await read(requestOf(body, { pieceBytes }), receiver);
    assert.deepEqual(
      [...form.fields],
      [
        ['outscale', ['2']],
        ['type', ['image']],
      ],
    );
    assert.deepEqual([...form.files], [['file', 'AAAA\r\n--']]);
    assert.deepEqual(receiver.names, ['a.png']);
  }
});

test('takes several files, empty ones too, and nothing of a path in their names', async () => {
  const receiver = new Receiver();
  const body = part('file', '', '../../etc/passwd') + part('mask', 'M', '图 1.png') + end;
  const form = await read(requestOf(body), receiver);
  assert.deepEqual(
    [...form.files],
    [
      ['file', ''],
      ['mask', 'M'],
    ],
  );
  assert.deepEqual(receiver.names, ['passwd', '图 1.png']);
});

test('keeps what a field is given several times, in its order', async () => {
  const body = part('a', '1') + file + part('a', '2') + part('file', 'text') + part('b', '') + end;
  const { fields, files } = await read(requestOf(body));
  assert.deepEqual(fields.get('a'), ['1', '2']);
  assert.deepEqual(fields.get('file'), ['text']);
  assert.equal(files.size, 1);
  assert.equal(onlyText(fields, 'b'), '');
  assert.equal(onlyText(fields, 'c'), undefined);
  assert.throws(() => onlyText(fields, 'a'), { code: 'invalid_request', field: 'a' });
});

test('takes names for what they are', async () => {
  const form = await read(requestOf(part('__proto__', 'x') + part('constructor', 'y') + end));
  assert.deepEqual(form.fields.get('__proto__'), ['x']);
  assert.deepEqual(form.fields.get('constructor'), ['y']);
});

const broken: [name: string, request: () => Request, field?: string][] = [
  ['a body of nothing', () => requestOf('')],
  ['a body that is no form', () => requestOf('{"url": "https://example.com/a.png"}')],
  ['a form without its end', () => requestOf(file)],
  ['a form that ends in a file', () => requestOf(file.slice(0, 200))],
  ['a form that ends in a field', () => requestOf(part('type', 'image').slice(0, -6))],
  ['a form that ends in a header', () => requestOf(file.slice(0, 30))],
  ['another boundary', () => requestOf(file.replaceAll(boundary, 'other') + end.slice(0, 4))],
  ['no boundary', () => requestOf(file + end, { type: 'multipart/form-data' })],
  ['two files of one name', () => requestOf(file + file + end), 'file'],
  ['a part without a name', () => requestOf(part(null, 'x', 'a.png') + end)],
  ['a long name', () => requestOf(part('n'.repeat(500), 'x', 'a.png') + end)],
  ['a long field', () => requestOf(part('model', 'x'.repeat(300_000)) + end), 'model'],
  [
    'long fields together',
    () =>
      requestOf(
        Array.from({ length: 6 }, (_, i) => part(`f${i}`, 'x'.repeat(200_000))).join('') + end,
        { pieceBytes: 65_536 },
      ),
    'f5',
  ],
  [
    'too many fields',
    () => requestOf(Array.from({ length: 70 }, (_, i) => part(`f${i}`, 'x')).join('') + end),
  ],
  [
    'too many files',
    () => requestOf(Array.from({ length: 20 }, (_, i) => part(`f${i}`, 'x', 'a')).join('') + end),
  ],
];
for (const [name, request, field] of broken) {
  test(`refuses ${name}`, async () => await assertRefused(request(), 'invalid_request', field));
}

test('sees a file through to its failure when the client goes away', async () => {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const writer = writable.getWriter();
  const refused = assertRefused(requestOf(readable), 'source_interrupted');
  await writer.write(Buffer.from(file.slice(0, 200)));
  await writer.abort(new Error('gone')).catch(() => {});
  await refused;
});

test('gives up a client that sends next to nothing', async () => {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const writer = writable.getWriter();
  const drip = setInterval(() => writer.write(Buffer.from('x')).catch(() => {}), 20);
  writer.write(Buffer.from(file.slice(0, 200))).catch(() => {});
  const pace = { windowMs: 200, minBytes: 1_000 };
  const receiver = new Receiver();
  await assert.rejects(
    readForm(requestOf(readable), receiver.receive, pace),
    (error: GatewayError) => error.code === 'source_timeout',
  );
  clearInterval(drip);
  assert.equal(receiver.ended, 1);
});

test('stops reading as soon as a file is refused, and says why', async () => {
  let sentBytes = 0;
  const endless = new ReadableStream<Uint8Array>({
    pull(controller) {
      const chunk = sentBytes === 0 ? Buffer.from(file.slice(0, 150)) : Buffer.alloc(65_536, 'x');
      sentBytes += chunk.length;
      controller.enqueue(new Uint8Array(chunk));
    },
  });
  const reason = new Error('too large');
  const refusal = readForm(
    requestOf(endless),
    async (body) => {
      let bytes = 0;
      for await (const chunk of body) {
        bytes += chunk.length;
        if (bytes > 1_000_000) throw reason;
      }
    },
    usual,
  );
  await assert.rejects(refusal, reason);
  assert.ok(sentBytes < 4_000_000, `${sentBytes} bytes were read`);
});

test('reads no faster than the file is taken', async () => {
  let sentBytes = 0;
  const endless = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const chunk = sentBytes === 0 ? Buffer.from(file.slice(0, 150)) : Buffer.alloc(65_536, 'x');
      sentBytes += chunk.length;
      controller.enqueue(new Uint8Array(chunk));
    },
  });
  const stalled = new AbortController();
  const reading = readForm(
    requestOf(endless),
    async (body) => {
      await once(body, 'readable');
      await once(stalled.signal, 'abort');
      throw new Error('enough');
    },
    usual,
  );
  await new Promise((resolve) => setTimeout(resolve, 300));
  stalled.abort();
  await assert.rejects(reading, /enough/);
  assert.ok(sentBytes < 2_000_000, `${sentBytes} bytes were read while nobody took them`);
});
