import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { inspect } from 'node:util';
import { GatewayError } from '../src/core/errors.ts';
import type { BucketTuning } from '../src/storage/bucket-store.ts';
import type { PutOptions } from '../src/storage/object-store.ts';
import { OssCredentialChain } from '../src/storage/oss-credentials.ts';
import { OssStore, type OssStoreOptions } from '../src/storage/oss-store.ts';
import { describeBucketStore } from './suites/bucket-store.suite.ts';
import { describeObjectStore } from './suites/object-store.suite.ts';
import type { Fault } from './support/bucket-server/faults.ts';
import { bufferSource } from './support/byte-source.ts';
import { OssServer, type OssServerOptions } from './support/oss-server.ts';

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

describeBucketStore('OssStore over a bad network', start, { comparesParts: false });

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

test('renews temporary credentials before they run out, and when they are refused', async () => {
  let issued = 0;
  const keys = () => ({
    accessKeyId: 'id',
    accessKeySecret: 'secret',
    stsToken: `token-${issued}`,
  });
  await using tested = await start(
    {},
    { accessKeyId: 'id', accessKeySecret: 'secret', stsToken: 'token-2' },
    {
      credentials: {
        get: async () => keys(),
        forget: () => {
          issued += 1;
        },
      },
    },
  );
  const { server, store } = tested;
  await store.put('x.png', bufferSource('x'), putOptions());
  assert.deepEqual(methods(server), ['PUT', 'PUT', 'PUT']);
  assert.equal(issued, 2);
});

test("finds credentials where Aliyun's own tools do", async (t) => {
  const answers = [
    { SecurityToken: 'early', Expiration: new Date(Date.now() + 3_600_000).toISOString() },
    { SecurityToken: 'late', Expiration: new Date(Date.now() + 3_600_000).toISOString() },
  ];
  const asked: string[] = [];
  const metadata = createServer((request, response) => {
    asked.push(request.url ?? '');
    const keys = { Code: 'Success', AccessKeyId: 'id', AccessKeySecret: 'secret' };
    response.end(JSON.stringify({ ...keys, ...answers[asked.length - 1] }));
  });
  await new Promise<void>((resolve) => metadata.listen(0, '127.0.0.1', resolve));
  t.after(() => metadata.close());
  const { port } = metadata.address() as AddressInfo;
  process.env.ALIBABA_CLOUD_CREDENTIALS_URI = `http://127.0.0.1:${port}/credentials`;
  process.env.ALIBABA_CLOUD_ECS_METADATA_DISABLED = 'true';
  t.after(() => delete process.env.ALIBABA_CLOUD_CREDENTIALS_URI);

  await using tested = await start(
    {},
    { accessKeyId: 'id', accessKeySecret: 'secret', stsToken: 'late' },
    { credentials: new OssCredentialChain() },
  );
  await tested.store.put('x.png', bufferSource('x'), putOptions());
  await tested.store.stat('x.png', never());
  assert.deepEqual(asked, ['/credentials', '/credentials']);
});

test('stores with the class and the permissions that are set', async () => {
  for (const tuning of [{}, { singlePutMaxBytes: 0, partBytes: 256 * 1024 }]) {
    const options = { acl: 'public-read', storageClass: 'IA' };
    await using tested = await start(tuning, {}, options);
    const { server, store } = tested;
    await store.put('x.mp4', bufferSource(Buffer.alloc(300 * 1024)), putOptions());
    const sent = (name: string) => server.requests.map(({ headers }) => headers[name]);
    assert.ok(sent('x-oss-object-acl').includes('public-read'));
    assert.ok(sent('x-oss-storage-class').includes('IA'));
  }
});

test('signs links where it is asked to, for a time', async () => {
  const { now, pass } = clock();
  await using tested = await start({}, { now }, { signedUrlSeconds: 600 });
  const { store } = tested;
  const key = "结果/naïve (2)!*'+&.png";
  await store.put(key, bufferSource('hello'), putOptions());
  const url = await store.urlOf(key);
  assert.equal(await (await fetch(url)).text(), 'hello');
  assert.equal(store.keyOf(url), key);
  assert.equal((await fetch(url.replace('.png', '.pn'))).status, 403);
  pass(601);
  assert.equal((await fetch(url)).status, 403);
});

test('links to the bucket as clients reach it', async () => {
  const credentials = { accessKeyId: 'x', accessKeySecret: 'y', bucket: 'results' };
  const urlWith = (options: Partial<OssStoreOptions>) =>
    new OssStore({ region: 'cn-hangzhou', ...credentials, ...options }).urlOf('a b.png');
  const host = 'https://results.oss-cn-hangzhou.aliyuncs.com';
  assert.equal(await urlWith({}), `${host}/a%20b.png`);
  assert.equal(await urlWith({ region: 'oss-cn-hangzhou' }), `${host}/a%20b.png`);
  assert.equal(await urlWith({ prefix: '/out/puts/' }), `${host}/out/puts/a%20b.png`);
  const internal = 'oss-cn-hangzhou-internal.aliyuncs.com';
  assert.equal(await urlWith({ endpoint: internal }), `${host}/a%20b.png`);
  assert.equal(
    await urlWith({ endpoint: 'https://files.x.test', cname: true }),
    'https://files.x.test/a%20b.png',
  );
  assert.equal(
    await urlWith({ endpoint: internal, publicUrl: 'https://cdn.x.test/r/' }),
    'https://cdn.x.test/r/a%20b.png',
  );
});

function clock(): { now: () => number; pass: (seconds: number) => void } {
  let passedMs = 0;
  return {
    now: () => Date.now() + passedMs,
    pass: (seconds) => {
      passedMs += seconds * 1000;
    },
  };
}

async function start(
  tuning: Partial<BucketTuning> = {},
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
