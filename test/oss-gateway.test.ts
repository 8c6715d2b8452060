import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import sharp from 'sharp';
import { Emulator } from '../src/emulator/emulator.ts';
import type { RequestView } from './support/bucket-server/faults.ts';
import { eventually } from './support/eventually.ts';
import { samplePng } from './support/media-samples.ts';
import { OssServer } from './support/oss-server.ts';
import { S3Server } from './support/s3-server.ts';
import { SourceServer } from './support/source-server.ts';
import { createTestDatabase } from './support/test-database.ts';
import { TestGateway } from './support/test-gateway.ts';
import { createTestWorkflows } from './support/test-workflows.ts';

describe('a gateway that stores in OSS', () => {
  const cleanup = new AsyncDisposableStack();
  let emulator: Emulator;
  let oss: OssServer;
  let gateway: TestGateway;
  let url: string;

  before(async () => {
    emulator = cleanup.use(await Emulator.start());
    oss = cleanup.use(await OssServer.start());
    const sources = cleanup.use(await SourceServer.start());
    url = sources.file('a b.png', await samplePng({ width: 32, height: 24, seed: 1 }));
    const { region, accessKeyId, accessKeySecret } = oss.credentials;
    gateway = cleanup.use(
      await TestGateway.start({
        engine: 'postgres',
        backends: [emulator.url],
        env: {
          SOURCE_ALLOW: sources.host,
          STORAGE: 'oss',
          OSS_ENDPOINT: oss.url,
          OSS_REGION: region,
          OSS_BUCKET: oss.bucketName,
          OSS_ACCESS_KEY_ID: accessKeyId,
          OSS_ACCESS_KEY_SECRET: accessKeySecret,
          OSS_PUBLIC_URL: 'https://cdn.example.com/',
        },
      }),
    );
  });
  after(() => cleanup.disposeAsync());

  it('puts the result under outputs/, the id, a secret and the name, and links to it', async () => {
    const id = await gateway.submit({ url, type: 'image' });
    const task = await gateway.until(id);
    assert.equal(task.status, 'completed', task.error ?? '');
    const { url: link } = task.output ?? assert.fail();
    const [, key = ''] = link.split('https://cdn.example.com/');
    assert.match(key, new RegExp(`^outputs/${id}/[0-9a-f]{32}/a_b\\.png$`));
    const object = oss.bucket.objects.get(key);
    assert.equal(object?.size, task.output?.metadata.size_bytes);
    assert.deepEqual(await readdir(gateway.dataDir), ['spool']);
  });

  it('gets through a store that fails for a while, with one run on the GPU', async () => {
    const before = emulator.runs.length;
    oss.fail({ kind: 'answer', status: 503, code: 'ServiceUnavailable' }, { times: 2 });
    const task = await gateway.until(await gateway.submit({ url, type: 'image' }));
    assert.equal(task.status, 'completed', task.error ?? '');
    assert.equal(emulator.runs.length - before, 1);
  });

  it('leaves no object of a task that was canceled while it was stored', async () => {
    oss.fail({ kind: 'stall', afterBytes: 10 });
    const id = await gateway.submit({ url, type: 'image' });
    // The next task meets a store that is well.
    await eventually(() => assert.ok(oss.requests.some(({ key }) => key.includes(id))));
    await gateway.call('DELETE', `/tasks/${id}`);
    assert.equal((await gateway.task(id)).status, 'canceled');
    const next = await gateway.until(await gateway.submit({ url, type: 'image' }));
    assert.equal(next.status, 'completed', next.error ?? '');
    const keys = [...oss.bucket.objects.keys()];
    assert.deepEqual(
      keys.filter((key) => key.includes(id)),
      [],
    );
    assert.ok(keys.some((key) => key.includes(next.task_id)));
  });
});

const services = [
  {
    name: 'OSS',
    start: () => OssServer.start(),
    env: ({ url, bucketName, credentials }: OssServer) => ({
      STORAGE: 'oss',
      OSS_ENDPOINT: url,
      OSS_REGION: credentials.region,
      OSS_BUCKET: bucketName,
      OSS_ACCESS_KEY_ID: credentials.accessKeyId,
      OSS_ACCESS_KEY_SECRET: credentials.accessKeySecret,
      OSS_SIGN_URLS: '600',
    }),
  },
  {
    name: 'S3',
    start: () => S3Server.start(),
    env: ({ url, bucketName, credentials }: S3Server) => ({
      STORAGE: 's3',
      S3_ENDPOINT: url,
      S3_FORCE_PATH_STYLE: 'true',
      S3_REGION: credentials.region,
      S3_BUCKET: bucketName,
      S3_ACCESS_KEY_ID: credentials.accessKeyId,
      S3_SECRET_ACCESS_KEY: credentials.secretAccessKey,
      S3_SIGN_URLS: '600',
    }),
  },
] as const;

/** More than goes up in one request. */
const noise = noisePng(4_000, 3_400);

for (const service of services) {
  describe(`a large result on its way to ${service.name}`, () => {
    it('goes on in another gateway with the parts that are there', async () => {
      await using cleanup = new AsyncDisposableStack();
      const emulator = cleanup.use(await Emulator.start());
      const server = cleanup.use(await service.start());
      const sources = cleanup.use(await SourceServer.start());
      const workflows = cleanup.use(await createTestWorkflows(0));
      const database = cleanup.use(await createTestDatabase('postgres'));
      const url = sources.file('noise.png', await noise);
      const options = {
        engine: 'postgres',
        backends: [emulator.url],
        database,
        env: {
          SOURCE_ALLOW: sources.host,
          WORKFLOWS_DIR: workflows.folder,
          SHUTDOWN_GRACE: '0.1',
          THUMBNAILS: 'false',
          ...service.env(server as never),
        },
      } as const;
      const part = ({ query }: RequestView) => Number(query.get('partNumber'));
      const stalls = (each: RequestView) => part(each) > 2;

      server.fail({ kind: 'stall', afterBytes: 0 }, { times: 3, when: stalls });
      const first = cleanup.use(await TestGateway.start(options));
      const id = await first.submit({ url, workflow: 'sleep' });
      const uploads = () => [...server.bucket.uploads.values()];
      await eventually(() => assert.equal(uploads()[0]?.parts.size, 2));
      // The successor meets none that stalls.
      await eventually(() => assert.equal(server.requests.filter(stalls).length, 3));
      await first[Symbol.asyncDispose]();
      assert.equal(uploads().length, 1);
      const before = server.requests.length;

      const second = cleanup.use(await TestGateway.start(options));
      const task = await second.until(id);
      assert.equal(task.status, 'completed', task.error ?? '');
      const sent = server.requests.slice(before).map(part).filter(Boolean);
      assert.deepEqual(sent.sort(), [3, 4, 5]);
      assert.equal(emulator.runs.length, 1);
      assert.equal(server.bucket.uploads.size, 0);
      const object = [...server.bucket.objects.values()][0];
      assert.ok(object);
      assert.equal(await server.bucket.sha256(object), task.output?.metadata.sha256);
      const answer = await fetch(task.output?.url ?? '');
      assert.equal(answer.status, 200);
      assert.equal((await answer.bytes()).length, object?.size);
    });

    it('leaves no part when its task is canceled', async () => {
      await using cleanup = new AsyncDisposableStack();
      const emulator = cleanup.use(await Emulator.start());
      const server = cleanup.use(await service.start());
      const sources = cleanup.use(await SourceServer.start());
      const workflows = cleanup.use(await createTestWorkflows(0));
      const url = sources.file('noise.png', await noise);
      const gateway = cleanup.use(
        await TestGateway.start({
          engine: 'postgres',
          backends: [emulator.url],
          env: {
            SOURCE_ALLOW: sources.host,
            WORKFLOWS_DIR: workflows.folder,
            ...service.env(server as never),
          },
        }),
      );
      const isPart = ({ query }: RequestView) => Number(query.get('partNumber')) > 2;
      server.fail({ kind: 'stall', afterBytes: 0 }, { times: 100, when: isPart });
      const id = await gateway.submit({ url, workflow: 'sleep' });
      await eventually(async () => assert.equal(server.requests.some(isPart), true));
      await gateway.call('DELETE', `/tasks/${id}`);
      await eventually(async () => assert.equal(server.bucket.uploads.size, 0));
      assert.equal(server.bucket.objects.size, 0);
    });
  });
}

/** A picture that cannot be compressed. */
async function noisePng(width: number, height: number): Promise<Buffer> {
  const pixels = randomBytes(width * height * 3);
  return await sharp(pixels, { raw: { width, height, channels: 3 } })
    .png({ compressionLevel: 1 })
    .toBuffer();
}
