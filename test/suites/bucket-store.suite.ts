import assert from 'node:assert/strict';
import { buffer } from 'node:stream/consumers';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { BucketStore, BucketTuning } from '../../src/storage/bucket-store.ts';
import type { PutOptions } from '../../src/storage/object-store.ts';
import type { Fault, RequestView } from '../support/bucket-server/faults.ts';
import type { BucketServer } from '../support/bucket-server.ts';
import { bufferSource, GeneratedSource } from '../support/byte-source.ts';

export interface BucketUnderTest extends AsyncDisposable {
  readonly server: BucketServer;
  readonly store: BucketStore;
}

const kibibyte = 1024;
const inParts: Partial<BucketTuning> = { singlePutMaxBytes: 0, partBytes: 256 * kibibyte };
const isPart = ({ query }: RequestView) => query.has('partNumber');
const isComplete = ({ method, query }: RequestView) => method === 'POST' && query.has('uploadId');

const passing: readonly [string, Fault, number][] = [
  ['a connection reset in the middle of the body', { kind: 'reset', afterBytes: 100_000 }, 2],
  ['an answer of 503', { kind: 'answer', status: 503, code: 'ServiceUnavailable' }, 2],
  ['an answer of 429', { kind: 'answer', status: 429, code: 'TooManyRequests' }, 2],
  ['a store that no longer reads', { kind: 'stall', afterBytes: 100_000 }, 1],
  ['a store that reads too slowly', { kind: 'slow', bytesPerSecond: 50_000 }, 1],
  ['bytes that arrive changed', { kind: 'corrupt' }, 1],
  ['a lost answer', { kind: 'swallow' }, 1],
];

/** A server that holds a request up is given up soon; any other is not, however busy the machine is. */
function tuningFor({ kind }: Fault): Partial<BucketTuning> {
  const isHeldUp = kind === 'stall' || kind === 'slow';
  return { requestDeadlineMs: isHeldUp ? 1_500 : 60_000, minBytesPerSecond: 1e9 };
}

/** What every bucket gets over; `start` makes an empty one. */
export function describeBucketStore(
  name: string,
  start: (tuning?: Partial<BucketTuning>) => Promise<BucketUnderTest>,
  { comparesParts }: { comparesParts: boolean },
): void {
  describe(name, () => {
    for (const [name, fault, times] of passing) {
      test(`one request: gets over ${name}, with a fresh stream for every try`, async (t) => {
        const noise = listenForNoise(t);
        await using tested = await start(tuningFor(fault));
        const { server, store } = tested;
        const source = new GeneratedSource(600 * kibibyte);
        server.fail(fault, { times });
        const stored = await store.put('x.png', source, putOptions());
        assert.equal(stored.sha256, source.sha256());
        assert.equal(server.requests.length, times + 1);
        assert.equal(source.streams.length, times + 1);
        assert.equal(source.openStreams, 0);
        const opened = await store.open('x.png', null, never());
        assert.deepEqual(
          opened && (await buffer(opened.body)),
          await buffer(await source.open(null)),
        );
        assert.deepEqual(noise(), []);
      });
    }

    for (const [name, fault, times] of passing.filter(
      ([, fault]) => comparesParts || fault.kind !== 'corrupt',
    )) {
      test(`parts: gets over ${name}, and repeats no other part`, async (t) => {
        const noise = listenForNoise(t);
        await using tested = await start({ ...inParts, ...tuningFor(fault) });
        const { server, store } = tested;
        const source = new GeneratedSource(1000 * kibibyte);
        server.fail(fault, { times, when: ({ query }) => query.get('partNumber') === '2' });
        const stored = await store.put('x.mp4', source, putOptions());
        assert.equal(stored.sha256, source.sha256());
        assert.equal(server.requests.filter(isPart).length, 4 + times);
        assert.equal(source.streams.length, 4, 'each part is read once');
        assert.equal((await store.stat('x.mp4', never()))?.size, source.size);
        assert.equal(server.bucket.uploads.size, 0);
        assert.deepEqual(noise(), []);
      });
    }

    test('believes the object when every answer to its upload is lost', async () => {
      await using tested = await start();
      const { server, store } = tested;
      server.fail({ kind: 'swallow' }, { times: 4, when: ({ method }) => method === 'PUT' });
      const stored = await store.put('x.png', bufferSource('here'), putOptions());
      assert.equal(stored.size, 4);
      assert.deepEqual(methods(server), ['PUT', 'PUT', 'PUT', 'PUT', 'HEAD']);
    });

    test('believes the object when its completion is answered by "no such upload"', async () => {
      await using tested = await start(inParts);
      const { server, store } = tested;
      const source = new GeneratedSource(300 * kibibyte);
      server.fail({ kind: 'swallow' }, { when: isComplete });
      const stored = await store.put('x.mp4', source, putOptions());
      assert.equal(stored.sha256, source.sha256());
      assert.equal(server.requests.filter(isComplete).at(-1)?.status, 404);
    });

    test('does not take an older object of the same key for the new one', async () => {
      await using tested = await start();
      const { server, store } = tested;
      await store.put('x.png', bufferSource('old'), putOptions());
      server.fail(
        { kind: 'reset', afterBytes: 0 },
        { times: 4, when: ({ method }) => method === 'PUT' },
      );
      await assert.rejects(store.put('x.png', bufferSource('new'), putOptions()), {
        message: 'The object storage cannot be reached',
      });
      assert.equal((await store.stat('x.png', never()))?.size, 3);
    });

    test('gives up after a number of tries, and leaves nothing', async () => {
      for (const tuning of [{}, inParts]) {
        await using tested = await start(tuning);
        const { server, store } = tested;
        const fault = { kind: 'answer', status: 503, code: 'ServiceUnavailable' } as const;
        server.fail(fault, { times: 100, when: ({ method }) => method === 'PUT' });
        const source = new GeneratedSource(300 * kibibyte);
        await assert.rejects(store.put('x.mp4', source, putOptions()), {
          code: 'storage_failed',
          message: 'The object storage is failing or too busy',
        });
        assert.equal(server.bucket.objects.size + server.bucket.uploads.size, 0);
        assert.equal(source.openStreams, 0);
      }
    });

    test('removes an object that arrived changed every time', async () => {
      for (const tuning of [{}, inParts]) {
        await using tested = await start(tuning);
        const { server, store } = tested;
        server.fail({ kind: 'corrupt' }, { times: 100, when: ({ method }) => method === 'PUT' });
        const source = new GeneratedSource(300 * kibibyte);
        await assert.rejects(store.put('x.mp4', source, putOptions()), {
          message: 'The object storage received other bytes than were sent',
        });
        assert.equal(server.bucket.objects.size + server.bucket.uploads.size, 0);
      }
    });

    for (const [name, fault, times] of passing.filter(([, fault]) => fault.kind !== 'slow')) {
      test(`copies: gets over ${name}`, async (t) => {
        const noise = listenForNoise(t);
        await using tested = await start(tuningFor(fault));
        const { server, store } = tested;
        const source = new GeneratedSource(600 * kibibyte);
        await store.put('x.png', source, putOptions());
        server.fail(fault, { times, when: ({ method }) => method === 'PUT' });
        assert.equal(await store.copy('x.png', 'y.png', never()), true);
        const copy = await store.open('y.png', null, never());
        assert.deepEqual(copy && (await buffer(copy.body)), await buffer(await source.open(null)));
        assert.deepEqual(noise(), []);
      });
    }

    test('keeps a bucket from showing what a browser would run', async () => {
      for (const tuning of [{}, inParts]) {
        await using tested = await start(tuning);
        const { server, store } = tested;
        const svg = { contentType: 'image/svg+xml', signal: never() };
        await store.put('x.svg', new GeneratedSource(300 * kibibyte), svg);
        const named = server.requests.map(({ headers }) => headers['content-disposition']);
        assert.equal(named[0], 'attachment');
        server.requests.length = 0;
        await store.put('x.mp4', new GeneratedSource(300 * kibibyte), putOptions());
        const others = server.requests.map(({ headers }) => headers['content-disposition']);
        assert.ok(others.every((each) => each === undefined));
      }
    });

    test('copies what is large in parts, and leaves nothing when one fails', async () => {
      await using tested = await start({
        singleCopyMaxBytes: 500 * kibibyte,
        copyPartBytes: 256 * kibibyte,
      });
      const { server, store } = tested;
      const source = new GeneratedSource(600 * kibibyte);
      await store.put('x.mp4', source, putOptions());
      assert.equal(await store.copy('x.mp4', 'y.mp4', never()), true);
      assert.equal(server.requests.filter(isPart).length, 3);
      const copy = await store.open('y.mp4', null, never());
      assert.equal(copy?.contentType, 'video/mp4');
      assert.deepEqual(copy && (await buffer(copy.body)), await buffer(await source.open(null)));

      const fault = { kind: 'answer', status: 503, code: 'ServiceUnavailable' } as const;
      server.fail(fault, { times: 100, when: ({ query }) => query.get('partNumber') === '2' });
      await assert.rejects(store.copy('x.mp4', 'z.mp4', never()), { code: 'storage_failed' });
      assert.deepEqual([server.bucket.objects.size, server.bucket.uploads.size], [2, 0]);
    });

    test('repeats a read that fails before its first byte', async () => {
      await using tested = await start();
      const { server, store } = tested;
      await store.put('x.png', bufferSource('hello'), putOptions());
      server.fail({ kind: 'answer', status: 500, code: 'InternalError' }, { times: 2 });
      const opened = await store.open('x.png', null, never());
      assert.equal(opened && (await buffer(opened.body)).toString(), 'hello');
      server.fail({ kind: 'reset', afterBytes: 0 }, { times: 2 });
      assert.equal((await store.stat('x.png', never()))?.size, 5);
    });

    test('cuts a body that is being read when the signal aborts', async () => {
      await using tested = await start();
      const { store } = tested;
      await store.put('x.mp4', new GeneratedSource(8 * kibibyte * kibibyte), putOptions());
      const abort = new AbortController();
      const opened = await store.open('x.mp4', null, abort.signal);
      assert.ok(opened);
      await opened.body[Symbol.asyncIterator]().next();
      abort.abort();
      await assert.rejects(buffer(opened.body));
    });

    test('has a bounded number of parts under way', async () => {
      await using tested = await start({ ...inParts, partsInFlight: 2 });
      const { server, store } = tested;
      server.fail({ kind: 'stall', afterBytes: 0 }, { times: 100, when: isPart });
      const abort = new AbortController();
      const source = new GeneratedSource(4000 * kibibyte);
      const put = store.put('x.mp4', source, { ...putOptions(), signal: abort.signal });
      const rejected = assert.rejects(put, { name: 'AbortError' });
      await delay(300);
      assert.equal(server.requests.filter(isPart).length, 2);
      abort.abort();
      await rejected;
      assert.equal(server.bucket.uploads.size, 0);
    });

    test('leaves what is stored to whoever may have gone on with it', async () => {
      await using tested = await start(inParts);
      const { server, store } = tested;
      const abort = new AbortController();
      server.fail({ kind: 'late', ms: 400 }, { when: isComplete });
      const options = { ...putOptions(), resumes: true, signal: abort.signal };
      const rejected = assert.rejects(
        store.put('x.mp4', new GeneratedSource(300 * kibibyte), options),
      );
      setTimeout(() => abort.abort(), 300);
      await rejected;
      assert.equal((await store.stat('x.mp4', never()))?.size, 300 * kibibyte);
    });

    test('goes on where a put broke off, and sends only the parts that are missing', async () => {
      await using tested = await start({ ...inParts, partsInFlight: 2 });
      const { server, store } = tested;
      const source = new GeneratedSource(2000 * kibibyte);
      const abort = new AbortController();
      const stall = { kind: 'stall', afterBytes: 1000 } as const;
      server.fail(stall, { times: 2, when: ({ query }) => Number(query.get('partNumber')) > 4 });
      const died = store.put('x.mp4', source, {
        ...putOptions(),
        resumes: true,
        signal: abort.signal,
        onProgress: (bytes) => bytes >= 4 * 256 * kibibyte && setTimeout(() => abort.abort(), 50),
      });
      await assert.rejects(died, { name: 'AbortError' });
      assert.equal(server.bucket.uploads.size, 1);
      const before = server.requests.length;

      const progress: number[] = [];
      const onProgress = (bytes: number) => progress.push(bytes);
      const options = { ...putOptions(), resumes: true, onProgress };
      const stored = await store.put('x.mp4', source, options);
      const parts = server.requests.slice(before).filter(isPart);
      assert.deepEqual(
        parts.map(({ query }) => Number(query.get('partNumber'))).sort(),
        [5, 6, 7, 8],
      );
      assert.equal(stored.sha256, source.sha256());
      assert.equal(progress.at(-1), source.size);
      assert.equal(server.bucket.uploads.size, 0);
      const opened = await store.open('x.mp4', null, never());
      const expected = await buffer(await source.open(null));
      assert.deepEqual(opened && (await buffer(opened.body)), expected);
    });

    test('takes no part of another file for its own, and gives up what is older', async () => {
      await using tested = await start(inParts);
      const { server, store } = tested;
      const [first, other] = [new GeneratedSource(1000 * kibibyte), bufferSource('x')];
      for (const source of [first, first]) {
        server.fail({ kind: 'answer', status: 403, code: 'AccessDenied' }, { when: isComplete });
        await assert.rejects(store.put('x.mp4', source, { ...putOptions(), resumes: true }));
        assert.equal(server.bucket.uploads.size, 1);
      }
      const bytes = await buffer(await first.open(null));
      bytes[300 * kibibyte] = (bytes[300 * kibibyte] ?? 0) ^ 1;
      const before = server.requests.length;
      await store.put('x.mp4', bufferSource(bytes), { ...putOptions(), resumes: true });
      const parts = server.requests.slice(before).filter(isPart);
      assert.deepEqual(
        parts.map(({ query }) => query.get('partNumber')),
        ['2'],
      );
      const opened = await store.open('x.mp4', null, never());
      assert.ok(opened && bytes.equals(await buffer(opened.body)));
      // A name that only begins like one is another.
      await store.put('x.mp4.png', other, { ...putOptions(), resumes: true });
    });

    test('abandons what it was to go on with', async () => {
      await using tested = await start(inParts);
      const { server, store } = tested;
      server.fail({ kind: 'answer', status: 403, code: 'AccessDenied' }, { when: isComplete });
      const source = new GeneratedSource(300 * kibibyte);
      await assert.rejects(store.put('x.mp4', source, { ...putOptions(), resumes: true }));
      await store.abandon('y.mp4', never());
      await store.abandon('x.mp', never());
      assert.equal(server.bucket.uploads.size, 1);
      await store.abandon('x.mp4', never());
      await store.abandon('x.mp4', never());
      assert.equal(server.bucket.uploads.size, 0);
    });

    test('begins anew where uploads may not be listed', async () => {
      await using tested = await start(inParts);
      const { server, store } = tested;
      const isListing = ({ method, query }: RequestView) =>
        method === 'GET' && query.has('uploads');
      server.fail({ kind: 'answer', status: 403, code: 'AccessDenied' }, { when: isListing });
      const source = new GeneratedSource(300 * kibibyte);
      const stored = await store.put('x.mp4', source, { ...putOptions(), resumes: true });
      assert.equal(stored.sha256, source.sha256());
    });

    test('gives a link by which anybody may store an object of one type', async () => {
      await using tested = await start();
      const { server, store } = tested;
      const presigned = await store.presignPut('in/a b (1).png', 'image/png', 60);
      assert.ok(presigned);
      const put = (url: string) =>
        fetch(url, { method: 'PUT', headers: presigned.headers, body: 'hello' });
      assert.equal((await put(presigned.url)).status, 200);
      assert.equal(store.keyOf(presigned.url), 'in/a b (1).png');
      const found = await store.stat('in/a b (1).png', never());
      assert.deepEqual([found?.size, found?.contentType], [5, 'image/png']);
      assert.equal((await put(presigned.url.replace('a%20b', 'other'))).status, 403);
      assert.equal(server.bucket.objects.size, 1);
    });

    test('knows the keys of its own addresses, and of no other', async () => {
      await using tested = await start();
      const { store } = tested;
      const url = await store.urlOf('a/b c.png');
      assert.equal(store.keyOf(`${url}?x=1`), 'a/b c.png');
      for (const other of [
        url.replace('//', '//x'),
        url.replace('outputs/', 'other/'),
        url.replace('a/b%20c.png', ''),
        url.replace('a/b%20c.png', 'a%2f%2e%2e%2fb'),
        'nothing',
      ]) {
        assert.equal(store.keyOf(other), null, other);
      }
    });

    test('an abort while the answer is awaited takes along what was stored', async () => {
      await using tested = await start();
      const { server, store } = tested;
      const abort = new AbortController();
      server.fail({ kind: 'late', ms: 400 }, { when: ({ method }) => method === 'PUT' });
      const options = { ...putOptions(), signal: abort.signal };
      const rejected = assert.rejects(store.put('x.png', bufferSource('x'), options));
      await delay(200);
      assert.equal(server.bucket.objects.size, 1);
      abort.abort();
      await rejected;
      assert.equal(server.bucket.objects.size, 0);
    });
  });
}

/** What the client's libraries write to the console. */
function listenForNoise(t: TestContext): () => unknown[] {
  const mocks = (['log', 'warn', 'error'] as const).map((method) => t.mock.method(console, method));
  return () => mocks.flatMap((mock) => mock.mock.calls.map((call) => call.arguments));
}

function methods(server: BucketServer): string[] {
  return server.requests.map(({ method }) => method);
}

function putOptions(): PutOptions {
  return { contentType: 'video/mp4', signal: never() };
}

function never(): AbortSignal {
  return new AbortController().signal;
}
