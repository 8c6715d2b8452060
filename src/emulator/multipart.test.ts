import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { boundaryOf, MalformedMultipart, readParts } from './multipart.ts';

async function* inChunks(body: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < body.length; at += size) yield body.subarray(at, at + size);
}

async function readAll(body: Buffer, size: number, boundary = 'b') {
  const parts: { name: string; filename: string | null; content: Buffer }[] = [];
  for await (const { name, filename, body: chunks } of readParts(inChunks(body, size), boundary)) {
    parts.push({ name, filename, content: Buffer.concat(await Array.fromAsync(chunks)) });
  }
  return parts;
}

function form(contents: readonly Buffer[], boundary = 'b'): Buffer {
  const parts = contents.map((content, index) =>
    Buffer.concat([
      Buffer.from(`--${boundary}\r\nContent-Disposition: form-data; name="f${index}"\r\n\r\n`),
      content,
      Buffer.from('\r\n'),
    ]),
  );
  return Buffer.concat([...parts, Buffer.from(`--${boundary}--\r\n`)]);
}

test('gives back any bytes, however they are cut', async () => {
  // Contents that nearly hold the delimiter are the hard ones.
  const piece = fc.constantFrom('\r', '\n', '\r\n', '--', '-', 'b', '\r\n--', '\r\n-', 'x');
  const content = fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join(''));
  const fits = content.filter((text) => !text.includes('\r\n--b'));
  await fc.assert(
    fc.asyncProperty(
      fc.array(fits, { maxLength: 4 }),
      fc.integer({ min: 1, max: 40 }),
      async (texts, size) => {
        const contents = texts.map((text) => Buffer.from(text));
        const parts = await readAll(form(contents), size);
        assert.deepEqual(
          parts.map((part) => part.content.toString()),
          texts,
        );
      },
    ),
  );
});

test('tells files from fields, and takes the name as it was sent', async () => {
  const part = (disposition: string) =>
    `--b\r\nContent-Type: image/png\r\nContent-Disposition: form-data; ${disposition}\r\n\r\nx\r\n`;
  const body = [
    part('name="image"; filename="naïve ü 名.png"'),
    part('name="image"; filename="..\\a5.png"'),
    part('name="image"; filename="a;b.png"'),
    part('name="image"; filename="quo%22te.png"'),
    part('name="image"; filename=""'),
    part('filename=bare.png; name=image'),
    part('name="type"'),
  ].join('');
  const parts = await readAll(Buffer.from(`preamble\r\n${body}--b--\r\nepilogue`), 7);
  assert.deepEqual(
    parts.map(({ name, filename }) => [name, filename]),
    [
      ['image', 'naïve ü 名.png'],
      ['image', '..a5.png'],
      ['image', 'a;b.png'],
      ['image', 'quo%22te.png'],
      ['image', null],
      ['image', 'bare.png'],
      ['type', null],
    ],
  );
});

test('goes on with the next part where the reader did not want this one', async () => {
  const names: string[] = [];
  const source = inChunks(form([Buffer.alloc(1000, 'x'), Buffer.from('y')]), 64);
  for await (const { name } of readParts(source, 'b')) names.push(name);
  assert.deepEqual(names, ['f0', 'f1']);
});

test('refuses a body that ends early, and one without headers', async () => {
  const whole = form([Buffer.from('content')]);
  await assert.rejects(readAll(whole.subarray(0, -8), 10), MalformedMultipart);
  await assert.rejects(readAll(Buffer.from('--b\r\n\r\nx\r\n--b--'), 10), MalformedMultipart);
  await assert.rejects(
    readAll(Buffer.from(`--b\r\n${'h'.repeat(20_000)}`), 999),
    MalformedMultipart,
  );
});

test('finds the boundary, quoted or not', () => {
  assert.equal(boundaryOf('multipart/form-data; boundary=abc'), 'abc');
  assert.equal(boundaryOf('Multipart/Form-Data; charset=utf-8; boundary="a b"'), 'a b');
  assert.equal(boundaryOf('application/json'), null);
  assert.equal(boundaryOf(undefined), null);
});
