import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { inspect, promisify } from 'node:util';
import { GatewayError } from '../src/core/errors.ts';
import type { BucketTuning } from '../src/storage/bucket-store.ts';
import type { PutOptions } from '../src/storage/object-store.ts';
import { S3Store, type S3StoreOptions } from '../src/storage/s3-store.ts';
import { describeBucketStore } from './suites/bucket-store.suite.ts';
import { describeObjectStore } from './suites/object-store.suite.ts';
import type { Fault, RequestView } from './support/bucket-server/faults.ts';
import { bufferSource, GeneratedSource } from './support/byte-source.ts';
import { S3Server, type S3ServerOptions } from './support/s3-server.ts';

describeObjectStore('S3Store', async () => {
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

describeBucketStore('S3Store over a bad network', start, { comparesParts: true });

const credentials = "The object storage refused the gateway's credentials or their permissions";
const refused: readonly [string, S3ServerOptions, Fault | null, string][] = [
  ['a wrong secret', { secretAccessKey: 'another' }, null, credentials],
  ['a missing permission', {}, { kind: 'answer', status: 403, code: 'AccessDenied' }, credentials],
  [
    'an expired token',
    {},
    { kind: 'answer', status: 400, code: 'ExpiredToken' },
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
    await using tested = await start({}, serverOptions, {
      accessKeyId: 'test-key-id',
      secretAccessKey: 'test-key-secret',
      bucket: 'results',
    });
    const { server, store } = tested;
    if (fault) server.fail(fault, { times: 100 });
    const calls = [
      () => store.put('x.png', bufferSource('x'), putOptions()),
      () => store.open('x.png', null, never()),
      () => store.delete('x.png', never()),
    ];
    for (const call of calls) {
      await assert.rejects(call, (error: unknown) => {
        assert.ok(error instanceof GatewayError);
        assert.equal(error.code, 'storage_failed');
        assert.equal(error.message, message);
        assert.deepEqual(Object.keys(error.detail as object), ['code', 'status', 'requestId']);
        assert.match(inspect(error, { depth: 9 }), /REQUEST-\d/);
        assert.doesNotMatch(inspect(error, { depth: 9 }), /test-key|127\.0\.0\.1|AWS4|x\.png/);
        return true;
      });
    }
    assert.deepEqual(
      server.requests.map(({ method }) => method),
      ['PUT', 'GET', 'DELETE'],
    );
  });
}

test('says that the store cannot be reached', async () => {
  const { server, store } = await start();
  await server.close();
  await assert.rejects(store.put('x.png', bufferSource('x'), putOptions()), {
    message: 'The object storage cannot be reached',
    detail: { code: 'ECONNREFUSED', status: null, requestId: null },
  });
});

test('sends the token of temporary credentials', async () => {
  const session = { sessionToken: 'token' };
  await using tested = await start({}, session, session);
  await tested.store.put('x.png', bufferSource('x'), putOptions());
});

test("finds credentials where AWS's own tools do", async (t) => {
  const env = {
    AWS_ACCESS_KEY_ID: 'from-env',
    AWS_SECRET_ACCESS_KEY: 'secret-from-env',
    AWS_SESSION_TOKEN: 'token-from-env',
  };
  for (const [name, value] of Object.entries(env)) {
    process.env[name] = value;
    t.after(() => delete process.env[name]);
  }
  const owner = {
    accessKeyId: 'from-env',
    secretAccessKey: 'secret-from-env',
    sessionToken: 'token-from-env',
  };
  await using tested = await start({}, owner, { accessKeyId: null, secretAccessKey: null });
  await tested.store.put('x.png', bufferSource('x'), putOptions());
  assert.equal((await tested.store.stat('x.png', never()))?.size, 1);
});

test('reads a list of parts that takes several pages', async () => {
  const tuning = { singlePutMaxBytes: 0, partBytes: 128 * 1024 };
  await using tested = await start(tuning, { maxPartsPerPage: 3 });
  const { server, store } = tested;
  const source = new GeneratedSource(1024 * 1024);
  const isComplete = ({ method, query }: RequestView) => method === 'POST' && query.has('uploadId');
  server.fail({ kind: 'answer', status: 403, code: 'AccessDenied' }, { when: isComplete });
  await assert.rejects(store.put('x.mp4', source, { ...putOptions(), resumes: true }));
  await store.put('x.mp4', source, { ...putOptions(), resumes: true });
  const parts = server.requests.filter(({ query }) => query.has('partNumber'));
  assert.equal(parts.length, 8, 'each part was sent once');
});

test('stores with the class that is set, and sends bodies as they are', async () => {
  for (const tuning of [{}, { singlePutMaxBytes: 0, partBytes: 256 * 1024 }]) {
    await using tested = await start(tuning, {}, { storageClass: 'STANDARD_IA' });
    const { server, store } = tested;
    await store.put('x.mp4', bufferSource(Buffer.alloc(300 * 1024)), putOptions());
    const sent = (name: string) => server.requests.map(({ headers }) => headers[name]);
    assert.ok(sent('x-amz-storage-class').includes('STANDARD_IA'));
    // OSS's S3 door takes neither chunks nor trailers.
    assert.ok(sent('content-encoding').every((encoding) => encoding === undefined));
    assert.ok(sent('transfer-encoding').every((encoding) => encoding === undefined));
  }
});

test('signs links where it is asked to, for a time', async () => {
  let passedMs = 0;
  const now = () => Date.now() + passedMs;
  await using tested = await start({}, { now }, { signedUrlSeconds: 600 });
  const { store } = tested;
  const key = "结果/naïve (2)!*'+&.png";
  await store.put(key, bufferSource('hello'), putOptions());
  const url = await store.urlOf(key);
  assert.equal(await (await fetch(url)).text(), 'hello');
  assert.equal(store.keyOf(url), key);
  assert.equal((await fetch(url.replace('.png', '.pn'))).status, 403);
  passedMs = 601_000;
  assert.equal((await fetch(url)).status, 403);
});

test('links to the bucket as clients reach it', async () => {
  const keys = { accessKeyId: 'x', secretAccessKey: 'y', bucket: 'results' };
  const urlWith = (options: Partial<S3StoreOptions>) =>
    new S3Store({ region: 'eu-central-1', ...keys, ...options }).urlOf('a b.png');
  assert.equal(await urlWith({}), 'https://results.s3.eu-central-1.amazonaws.com/a%20b.png');
  const minio = { endpoint: 'http://minio:9000', forcePathStyle: true };
  assert.equal(await urlWith(minio), 'http://minio:9000/results/a%20b.png');
  assert.equal(
    await urlWith({ endpoint: 'https://s3.oss-cn-hangzhou-internal.aliyuncs.com' }),
    'https://results.s3.oss-cn-hangzhou.aliyuncs.com/a%20b.png',
  );
  assert.equal(
    await urlWith({ ...minio, prefix: 'out', publicUrl: 'https://files.x.test/r/' }),
    'https://files.x.test/r/out/a%20b.png',
  );
  const signed = new URL(
    await urlWith({ ...minio, publicUrl: 'https://files.x.test/r', signedUrlSeconds: 60 }),
  );
  assert.equal(signed.origin + signed.pathname, 'https://files.x.test/r/a%20b.png');
  assert.equal(signed.searchParams.get('X-Amz-Expires'), '60');
});

test('is not loaded by a gateway that does not use it', async () => {
  const gateway = new URL('../src/gateway.ts', import.meta.url).href;
  const program = `
    import { registerHooks } from 'node:module';
    registerHooks({
      load(url, context, next) {
        if (/node_modules\\/(@aws-sdk|@smithy|ali-oss|@alicloud)\\//.test(url)) console.log(url);
        return next(url, context);
      },
    });
    await import(${JSON.stringify(gateway)});
    process.exit();
  `;
  const { stdout } = await promisify(execFile)(process.execPath, [
    '--input-type=module',
    '--eval',
    program,
  ]);
  assert.equal(stdout, '');
});

async function start(
  tuning: Partial<BucketTuning> = {},
  serverOptions: S3ServerOptions = {},
  storeOptions: Partial<S3StoreOptions> = {},
) {
  const server = await S3Server.start(serverOptions);
  const { accessKeyId, secretAccessKey, region } = server.credentials;
  const store = new S3Store({
    region,
    bucket: server.bucketName,
    accessKeyId,
    secretAccessKey,
    endpoint: server.url,
    forcePathStyle: true,
    prefix: 'outputs',
    tuning: { attempts: 4, firstPauseMs: 5, longestPauseMs: 20, ...tuning },
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

function putOptions(): PutOptions {
  return { contentType: 'video/mp4', signal: never() };
}

function never(): AbortSignal {
  return new AbortController().signal;
}
