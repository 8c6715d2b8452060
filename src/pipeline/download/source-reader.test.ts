import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, beforeEach, test } from 'node:test';
import { GatewayError } from '../../core/errors.ts';
import { realTempo } from '../../core/tempo.ts';
import { uploadUrl } from '../../core/upload.ts';
import { SourceFetcher } from '../../media/fetch-source.ts';
import type { ByteRange, OpenObject } from '../../storage/object-store.ts';
import { SourceReader } from './source-reader.ts';

const folder = await mkdtemp(join(tmpdir(), 'tmlsr-reader-'));
const path = join(folder, 'source');
const bytes = Buffer.from(Array.from({ length: 10_000 }, (_, i) => i % 251));
const url = uploadUrl('0b6a2c1e-94f0-4f0f-8a5c-3f3b6c0c5a11');
const { signal } = new AbortController();
const allow = { hosts: [], networks: [] };
await using fetcher = new SourceFetcher({ allow, maxBytes: 1 });

beforeEach(() => rm(path, { force: true }));
after(() => rm(folder, { recursive: true }));

/** How one transfer goes. */
interface Transfer {
  /** Breaks off behind so many bytes. */
  readonly breaksAfter?: number;
  readonly etag?: string;
}

/** A store whose transfers go as they are told to, the last one as all that follow. */
function readerOf(
  transfers: readonly (Transfer | null)[],
  maxBytes = 1_000_000,
  owners: Readonly<Record<string, string>> = {},
): { reader: SourceReader; ranges: (ByteRange | null)[] } {
  const ranges: (ByteRange | null)[] = [];
  const store = {
    open: async (_key: string, range: ByteRange | null): Promise<OpenObject | null> => {
      const transfer = transfers[Math.min(ranges.length, transfers.length - 1)];
      ranges.push(range);
      if (!transfer) return null;
      const part = range ? bytes.subarray(range.start, range.end + 1) : bytes;
      return {
        size: bytes.length,
        contentType: 'image/png',
        modifiedAt: new Date(0),
        etag: transfer.etag ?? '"1"',
        body: Readable.from(chunks(part, transfer.breaksAfter)),
      };
    },
    keyOf: (url: string) => /^own:(.*)/.exec(url)?.[1] ?? null,
  };
  const limits = { maxBytes };
  const reader = new SourceReader({
    fetcher,
    store,
    ownSources: store,
    tenantOf: async (id) => owners[id] ?? null,
    bucketSchemes: ['oss'],
    limits,
    validateUrl: () => {},
    tempo: realTempo.source,
  });
  return { reader, ranges };
}

function* chunks(part: Buffer, breaksAfter = Number.POSITIVE_INFINITY): Generator<Buffer> {
  for (let at = 0; at < part.length; at += 1_000) {
    if (at >= breaksAfter) throw new Error('ECONNRESET');
    yield part.subarray(at, at + 1_000);
  }
  if (breaksAfter === part.length) throw new Error('ECONNRESET');
}

async function fetchWith(reader: SourceReader): Promise<{ bytes: number }> {
  return await reader.fetch(url, path, { onProgress: () => {}, tenant: '', signal });
}

async function assertFails(reader: SourceReader, code: string): Promise<void> {
  await assert.rejects(fetchWith(reader), (error) => {
    assert.ok(error instanceof GatewayError);
    assert.equal(error.code, code);
    return true;
  });
  assert.deepEqual(await readdir(folder), []);
}

test('takes up a transfer where it broke, from the same object', async () => {
  const { reader, ranges } = readerOf([{ breaksAfter: 3_000 }, { breaksAfter: 2_000 }, {}]);
  assert.equal((await fetchWith(reader)).bytes, bytes.length);
  assert.ok((await readFile(path)).equals(bytes));
  assert.deepEqual(ranges, [null, { start: 3_000, end: 9_999 }, { start: 5_000, end: 9_999 }]);
});

test('asks for nothing more when it broke behind the last byte', async () => {
  const { reader, ranges } = readerOf([{ breaksAfter: bytes.length }]);
  assert.equal((await fetchWith(reader)).bytes, bytes.length);
  assert.equal(ranges.length, 1);
});

test('gives up an object that became another one', async () => {
  const { reader } = readerOf([{ breaksAfter: 3_000 }, { etag: '"2"' }]);
  await assertFails(reader, 'source_interrupted');
});

test('gives up after three times', async () => {
  const { reader, ranges } = readerOf([{ breaksAfter: 1_000 }]);
  await assertFails(reader, 'source_interrupted');
  assert.equal(ranges.length, 4);
});

test('tells that there is none, or too much of it', async () => {
  await assertFails(readerOf([null]).reader, 'source_not_found');
  await assertFails(readerOf([{ breaksAfter: 3_000 }, null]).reader, 'source_not_found');
  await assertFails(readerOf([{}], 9_999).reader, 'source_too_large');
});

test("opens no object by another tenant's id, as if it were not there", async () => {
  const id = 'a1b2c3d4-e5f6-4890-a1b2-c3d4e5f67890';
  const hex = id.replaceAll('-', '');
  const { reader } = readerOf([{}], 1_000_000, { [id]: 'alice' });
  const opens = async (tenant: string, key: string) => {
    const options = { onProgress: () => {}, tenant, signal };
    await rm(path, { force: true });
    return await reader.fetch(`own:${key}`, path, options).then(
      () => true,
      (error: GatewayError) => {
        assert.equal(error.code, 'source_not_found');
        return false;
      },
    );
  };
  for (const key of [`outputs/${hex}/a.png`, `uploads/${id}`]) {
    assert.deepEqual([await opens('alice', key), await opens('bob', key)], [true, false]);
    // Where no keys are asked for, all is everybody's.
    assert.equal(await opens('', key), true);
  }
  assert.equal(await opens('bob', `outputs/${hex}/${'0'.repeat(32)}/a.png`), true);
  assert.equal(await opens('bob', `${'1'.repeat(32)}/a.png`), true);
});

test('refuses a bucket that is not its own', () => {
  const { reader } = readerOf([]);
  const check = (address: string) => () => reader.check(address, 'source');
  assert.throws(check('OSS://other/a.png'), { code: 'source_refused' });
  assert.doesNotThrow(check('https://oss.example.com/a.png'));
});
