import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { describe, it } from 'node:test';
import { Hono } from 'hono';
import { parseRange, sendFile } from './stored-file.ts';

describe('parseRange', () => {
  const cases = [
    [undefined, null],
    ['bytes=0-0', { start: 0, end: 0 }],
    ['bytes=10-', { start: 10, end: 99 }],
    ['bytes=-30', { start: 70, end: 99 }],
    ['bytes=-300', { start: 0, end: 99 }],
    ['bytes=90-500', { start: 90, end: 99 }],
    ['bytes=100-', 'unsatisfiable'],
    ['bytes=-0', 'unsatisfiable'],
    ['bytes=5-2', null],
    ['bytes=0-1,5-6', null],
    ['bytes=-', null],
    ['pages=1-2', null],
  ] as const;
  for (const [header, expected] of cases) {
    it(`reads ${header} of 100 bytes`, () => assert.deepEqual(parseRange(header, 100), expected));
  }
});

describe('sendFile', () => {
  const modifiedAt = new Date(1_700_000_000_000);
  const stat = { size: 10, contentType: 'image/png', modifiedAt, etag: '"1"' };
  const app = new Hono().get('/', async (context) => {
    const open = async () => ({ body: Readable.from(['0123456789']) });
    return (await sendFile(context, { stat, open, headers: {} })) ?? context.notFound();
  });

  for (const [ifRange, status] of [
    ['"1"', 206],
    [modifiedAt.toUTCString(), 206],
    ['"2"', 200],
    ['W/"1"', 200],
    [new Date(0).toUTCString(), 200],
  ] as const) {
    it(`answers a part of ${ifRange} with ${status}`, async () => {
      const headers = { range: 'bytes=2-5', 'if-range': ifRange };
      assert.equal((await app.request('/', { headers })).status, status);
    });
  }
});
