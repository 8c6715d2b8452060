import assert from 'node:assert/strict';
import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import fc from 'fast-check';
import { GatewayError } from '../../../src/core/errors.ts';
import { realTempo } from '../../../src/core/tempo.ts';
import { isForm, readForm } from '../../../src/http/multipart.ts';
import { paceOf } from '../../../src/http/request-body.ts';
import { toOriginForm } from '../../../src/http/request-target.ts';
import { disposition, parseRange } from '../../../src/http/stored-file.ts';
import { mutatedBytes, mutatedText, oddText } from '../mutate.ts';
import { type FuzzTarget, target } from '../target.ts';

const targetsOfRequests = [
  ...['/tasks?a=b#c', 'http://u:p@Host:80/a?b', '*', '//host/a', 'https://[::1]:1/', '/%2e%2e/%00'],
  ...['HTTP://a', 'http:/a', 'tmlsr', '/a b'],
];
const hosts = [
  '127.0.0.1:6008',
  'Gateway.lan',
  '[::1]:80',
  'localhost',
  '',
  'a@b',
  'a,b',
  'a:99999',
];

const boundary = '----form7';
const form = Buffer.from(
  [
    `--${boundary}\r\ncontent-disposition: form-data; name="outscale"\r\n\r\n2\r\n`,
    `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n`,
    'content-type: image/png\r\n\r\n\x89PNG\r\n\x1a\n\r\n',
    `--${boundary}\r\ncontent-disposition: form-data; name="a"; filename*=UTF-8''%e2%82%ac\r\n`,
    `content-transfer-encoding: base64\r\n\r\nAAAA\r\n--${boundary}--\r\n`,
  ].join(''),
  'latin1',
);
const contentTypes = [
  `multipart/form-data; boundary=${boundary}`,
  `multipart/form-data; charset=utf-16; boundary="${boundary}"`,
];
const pace = paceOf(realTempo.http);

export const requestTargets: readonly FuzzTarget[] = [
  target('request-target', 5, {
    cases: fc.tuple(
      fc.oneof(mutatedText(targetsOfRequests), oddText),
      fc.array(fc.oneof(mutatedText(hosts), oddText), { maxLength: 2 }),
    ),
    check([url, named]) {
      const request = new IncomingMessage(new Socket());
      request.url = url;
      request.rawHeaders = named.flatMap((host) => ['Host', host]);
      toOriginForm(request);
      const first = { url: request.url, host: request.headers.host ?? '' };
      // A blank is no host: the request is refused.
      assert.ok(first.host === ' ' || URL.parse(`http://${first.host}`), first.host);
      toOriginForm(request);
      assert.deepEqual({ url: request.url, host: request.headers.host }, first);
    },
  }),
  target('ranges', 4, {
    cases: fc.tuple(
      fc.oneof(mutatedText(['bytes=0-9', 'bytes=-5', 'bytes=9-', 'bytes=0-0,5-6']), oddText),
      fc.nat({ max: 30 }),
    ),
    check([header, size]) {
      const range = parseRange(header, size);
      if (range === null || range === 'unsatisfiable') return;
      const { start, end } = range;
      assert.ok(start >= 0 && start <= end && end < size);
    },
  }),
  target('content-disposition', 2, {
    cases: oddText.map((text) => text.toWellFormed()),
    check(name) {
      const header = new Headers({ 'content-disposition': disposition(name, 'image/png') });
      assert.match(
        header.get('content-disposition') ?? '',
        /^inline; filename\*=UTF-8''[\x21-\x7e]*$/,
      );
    },
  }),
  target('forms', 4, {
    cases: fc.record({
      body: mutatedBytes([form]),
      type: fc.oneof(
        { weight: 4, arbitrary: fc.constantFrom(...contentTypes) },
        mutatedText(contentTypes),
      ),
      pieceBytes: fc.integer({ min: 1, max: 400 }),
    }),
    async check({ body, type, pieceBytes }) {
      const request = requestOf(body, type, pieceBytes);
      if (request === null || !isForm(request)) return;
      let begun = 0;
      let ended = 0;
      const receive = async (file: AsyncIterable<Buffer>) => {
        begun += 1;
        try {
          for await (const _ of file);
        } finally {
          ended += 1;
        }
      };
      try {
        await readForm(request, receive, pace);
      } catch (error) {
        assert.ok(error instanceof GatewayError && error.code === 'invalid_request', String(error));
      }
      assert.equal(ended, begun);
    },
  }),
];

/** `null` where the type can stand in no header. */
function requestOf(body: Buffer, type: string, pieceBytes: number): Request | null {
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      for (let at = 0; at < body.length; at += pieceBytes) {
        controller.enqueue(new Uint8Array(body.subarray(at, at + pieceBytes)));
      }
      controller.close();
    },
  });
  try {
    const headers = { 'content-type': type };
    const init = { method: 'POST', headers, body: stream, duplex: 'half' } as const;
    return new Request('http://gateway/tasks', init);
  } catch {
    return null;
  }
}
