import assert from 'node:assert/strict';
import { buffer } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { inspect } from 'node:util';
import { GatewayError } from '../src/core/errors.ts';
import type { PutOptions } from '../src/storage/object-store.ts';
import { OssStore, type OssStoreOptions, type OssTuning } from '../src/storage/oss-store.ts';
import { describeObjectStore } from './suites/object-store.suite.ts';
import { bufferSource, GeneratedSource } from './support/byte-source.ts';
import type { Fault, RequestView } from './support/oss-server/faults.ts';
import { OssServer, type OssServerOptions } from './support/oss-server.ts';

const kibibyte = 1024;
const inParts: Partial<OssTuning> = { singlePutMaxBytes: 0, partBytes: 256 * kibibyte };
const isPart = ({ query }: RequestView) => query.has('partNumber');
const isComplete = ({ method, query }: RequestView) => method === 'POST' && query.has('uploadId');

describeObjectStore('OssStore', async () => {
  const { server, store, [Symbol.asyncDispose]: dispose } = await start();
  return {
    store,
    contents: async () => [
      ...[...server.bucket.objects.keys()].map((name) => name.replace('outputs/', '')),
      ...server.bucket.uploads.keys(),
    ],
    [Symbol.asyncDispose]: dispose,
  };
});

const passing: readonly [string, Fault, number][] = [
  ['a connection reset in the middle of the body', { kind: 'reset', afterBytes: 100_000 }, 2],
  ['an answer of 503', { kind: 'answer', status: 503, code: 'ServiceUnavailable' }, 2],
  ['an answer of 429', { kind: 'answer', status: 429, code: 'TooManyRequests' }, 2],
  ['a store that no longer reads', { kind: 'stall', afterBytes: 100_000 }, 1],
  ['a store that reads too slowly', { kind: 'slow', bytesPerSecond: 200_000 }, 1],
  ['bytes that arrive changed', { kind: 'corrupt' }, 1],
  ['a lost answer', { kind: 'swallow' }, 1],
];

for (const [name, fault, times] of passing) {
  test(`one request: gets over ${name}, with a fresh stream for every try`, async (t) => {
    const noise = listenForNoise(t);
    await using tested = await start({ baseDeadlineMs: 500, minBytesPerSecond: 1e9 });
    const { server, store } = tested;
    const source = new GeneratedSource(600 * kibibyte);
    server.fail(fault, { times });
    const stored = await store.put('x.png', source, putOptions());
    assert.equal(stored.sha256, source.sha256());
    assert.equal(server.requests.length, times + 1);
    assert.equal(source.streams.length, times + 1);
    assert.equal(source.openStreams, 0);
    const opened = await store.open('x.png', null, never());
    assert.deepEqual(opened && (await buffer(opened.body)), await buffer(await source.open(null)));
    assert.deepEqual(noise(), []);
  });
}

for (const [name, fault, times] of passing.filter(([, fault]) => fault.kind !== 'corrupt')) {
  test(`parts: gets over ${name}, and repeats no other part`, async (t) => {
    const noise = listenForNoise(t);
    await using tested = await start({ ...inParts, baseDeadlineMs: 500, minBytesPerSecond: 1e9 });
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

const refused: readonly [string, OssServerOptions, Fault | null, string][] = [
  [
    'a wrong secret',
    { accessKeySecret: 'another' },
    null,
    "The object storage refused the gateway's credentials or their permissions",
  ],
  [
    'a missing permission',
    {},
    { kind: 'answer', status: 403, code: 'AccessDenied' },
    "The object storage refused the gateway's credentials or their permissions",
  ],
  [
    'an expired token',
    {},
    { kind: 'answer', status: 403, code: 'SecurityTokenExpired' },
    'The object storage refused the gateway: its credentials have expired',
  ],
  [
    'clocks that differ',
    { now: () => Date.now() + 20 * 60_000 },
    null,
    'The object storage refused the gateway: their clocks differ too much',
  ],
  [
    'a missing bucket',
    { bucket: 'another' },
    null,
    'The bucket that keeps the results does not exist',
  ],
];

for (const [name, serverOptions, fault, message] of refused) {
  test(`does not repeat what ${name} makes hopeless, and says so without secrets`, async () => {
    const secret = { accessKeyId: 'test-key-id', accessKeySecret: 'test-key-secret' };
    await using tested = await start({}, serverOptions, { ...secret, bucket: 'results' });
    const { server, store } = tested;
    if (fault) server.fail(fault, { times: 100 });
    const calls = [
      () => store.put('x.png', bufferSource('x'), putOptions()),
      () => store.open('x.png', null, never()),
      () => store.stat('x.png', never()),
      () => store.delete('x.png', never()),
    ];
    for (const call of calls) {
      await assert.rejects(call, (error: unknown) => {
        assert.ok(error instanceof GatewayError);
        assert.equal(error.code, 'storage_failed');
        assert.equal(error.message, message);
        assert.deepEqual(Object.keys(error.detail as object), ['code', 'status', 'requestId']);
        assert.match(inspect(error, { depth: 9 }), /REQUEST-\d/);
        assert.doesNotMatch(inspect(error, { depth: 9 }), /test-key|127\.0\.0\.1|OSS4|x\.png/);
        return true;
      });
    }
    assert.deepEqual(methods(server), ['PUT', 'GET', 'HEAD', 'DELETE']);
  });
}

test('sends the token of temporary credentials', async (t) => {
  const noise = listenForNoise(t);
  await using tested = await start({}, { stsToken: 'token' }, { stsToken: 'token' });
  await tested.store.put('x.png', bufferSource('x'), putOptions());
  assert.deepEqual(noise(), []);
});

test('says that the store cannot be reached', async () => {
  const { server, store } = await start();
  await server.close();
  await assert.rejects(store.put('x.png', bufferSource('x'), putOptions()), {
    message: 'The object storage cannot be reached',
    detail: { code: 'ECONNREFUSED', status: null, requestId: null },
  });
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

test('links to the bucket as clients reach it', () => {
  const credentials = { accessKeyId: 'x', accessKeySecret: 'y', bucket: 'results' };
  const urlWith = (options: Partial<OssStoreOptions>) =>
    new OssStore({ region: 'cn-hangzhou', ...credentials, ...options }).urlOf('a b.png');
  const host = 'https://results.oss-cn-hangzhou.aliyuncs.com';
  assert.equal(urlWith({}), `${host}/a%20b.png`);
  assert.equal(urlWith({ region: 'oss-cn-hangzhou' }), `${host}/a%20b.png`);
  assert.equal(urlWith({ prefix: '/out/puts/' }), `${host}/out/puts/a%20b.png`);
  const internal = 'oss-cn-hangzhou-internal.aliyuncs.com';
  assert.equal(urlWith({ endpoint: internal }), `${host}/a%20b.png`);
  assert.equal(
    urlWith({ endpoint: 'https://files.x.test', cname: true }),
    'https://files.x.test/a%20b.png',
  );
  assert.equal(
    urlWith({ endpoint: internal, publicUrl: 'https://cdn.x.test/r/' }),
    'https://cdn.x.test/r/a%20b.png',
  );
});

async function start(
  tuning: Partial<OssTuning> = {},
  serverOptions: OssServerOptions = {},
  storeOptions: Partial<OssStoreOptions> = {},
) {
  const server = await OssServer.start(serverOptions);
  const { accessKeyId, accessKeySecret, region } = server.credentials;
  const store = new OssStore({
    region,
    bucket: server.bucketName,
    accessKeyId,
    accessKeySecret,
    endpoint: server.url,
    prefix: 'outputs',
    tuning: { retry: { attempts: 4, baseDelayMs: 5, maxDelayMs: 20 }, ...tuning },
    ...storeOptions,
  });
  return {
    server,
    store,
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]();
      await server.close();
    },
  };
}

/** What the client's libraries write to the console. */
function listenForNoise(t: TestContext): () => unknown[] {
  const mocks = (['log', 'warn', 'error'] as const).map((method) => t.mock.method(console, method));
  return () => mocks.flatMap((mock) => mock.mock.calls.map((call) => call.arguments));
}

function methods(server: OssServer): string[] {
  return server.requests.map(({ method }) => method);
}

function putOptions(): PutOptions {
  return { contentType: 'video/mp4', signal: never() };
}

function never(): AbortSignal {
  return new AbortController().signal;
}
