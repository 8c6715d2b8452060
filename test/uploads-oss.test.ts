import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { request } from 'undici';
import { Emulator } from '../src/emulator/emulator.ts';
import { eventually } from './support/eventually.ts';
import { multipartForm } from './support/form.ts';
import { samplePng } from './support/media-samples.ts';
import { OssServer } from './support/oss-server.ts';
import { TestGateway } from './support/test-gateway.ts';

describe('files of clients where results are kept in OSS', () => {
  const cleanup = new AsyncDisposableStack();
  let oss: OssServer;
  let gateway: TestGateway;
  let png: Buffer;

  before(async () => {
    const emulator = cleanup.use(await Emulator.start());
    oss = cleanup.use(await OssServer.start());
    const { region, accessKeyId, accessKeySecret } = oss.credentials;
    gateway = cleanup.use(
      await TestGateway.start({
        engine: 'postgres',
        backends: [emulator.url],
        env: {
          STORAGE: 'oss',
          OSS_ENDPOINT: oss.url,
          OSS_REGION: region,
          OSS_BUCKET: oss.bucketName,
          OSS_ACCESS_KEY_ID: accessKeyId,
          OSS_ACCESS_KEY_SECRET: accessKeySecret,
          MAX_SOURCE_BYTES: '100000',
        },
      }),
    );
    png = await samplePng({ width: 24, height: 16, seed: 1 });
  });
  after(() => cleanup.disposeAsync());

  const uploads = () => [...oss.bucket.objects.keys()].filter((key) => key.includes('uploads/'));

  async function put(url: string, headers: Record<string, string>, body: Buffer): Promise<number> {
    const response = await request(url, { method: 'PUT', headers, body });
    await response.body.dump();
    return response.statusCode;
  }

  async function width(task: object): Promise<number> {
    const { status, error, output } = await gateway.until(await gateway.submit(task));
    assert.equal(status, 'completed', error ?? '');
    return output?.metadata.width;
  }

  it('go straight to the bucket, by an address that is signed for them', async () => {
    const { body: upload } = await gateway.call('POST', '/uploads', { content_type: 'image/png' });
    assert.ok(upload.url.startsWith(`${oss.url}/outputs/uploads/${upload.upload_id}?`));
    const task = { url: upload.source, type: 'image', outscale: 2 };
    const tooEarly = await gateway.call('POST', '/tasks', task);
    assert.equal(tooEarly.body.code, 'source_not_found');

    assert.equal(await put(upload.url, {}, png), 403, 'the type is signed');
    assert.equal(await put(upload.url, upload.headers, png), 200);
    assert.equal(await width(task), 48);
    await eventually(() => assert.deepEqual(uploads(), []), 5_000);
  });

  it('are refused when they turn out to be too large', async () => {
    const { body: upload } = await gateway.call('POST', '/uploads', {});
    await put(upload.url, upload.headers, Buffer.concat([png, Buffer.alloc(100_000)]));
    const { body } = await gateway.call('POST', '/tasks', { url: upload.source, type: 'image' });
    assert.deepEqual([body.code, body.field], ['source_too_large', 'url']);
  });

  it('go to the bucket by way of the gateway when they come in a form', async () => {
    const { body, contentType } = multipartForm([
      ['type', 'image'],
      ['file', { bytes: png, fileName: 'a.png' }],
    ]);
    const before = uploads();
    const response = await request(`${gateway.url}/tasks`, {
      method: 'POST',
      headers: { 'content-type': contentType },
      body,
    });
    const { task_id: id } = (await response.body.json()) as { task_id: string };
    assert.equal((await gateway.until(id)).status, 'completed');
    await eventually(() => assert.deepEqual(uploads(), before), 5_000);
  });

  it('may lie in the bucket already, private as they are', async () => {
    const { body: upload } = await gateway.call('POST', '/uploads', {});
    await put(upload.url, upload.headers, png);
    const [blob] = oss.bucket.objects.values().filter(({ size }) => size === png.length);
    assert.ok(blob);
    oss.bucket.objects.set('library/图 1.png', blob);
    const address = `${oss.url}/library/${encodeURIComponent('图 1.png')}`;
    const bare = await request(address);
    await bare.body.dump();
    assert.equal(bare.statusCode, 403);
    // Loopback is no place for sources, but this one is not fetched by its address.
    for (const url of [address, `oss://${oss.bucketName}/library/图 1.png`]) {
      assert.equal(await width({ url, type: 'image', outscale: 2 }), 48);
    }
    const gone = await gateway.submit({ url: `oss://${oss.bucketName}/no.png`, type: 'image' });
    assert.equal((await gateway.until(gone)).error_code, 'source_not_found');
    assert.ok(oss.bucket.objects.has('library/图 1.png'));
  });

  it('are not read from other buckets, nor by addresses that say more', async () => {
    const elsewhere = ['oss://other/a.png', 's3://other/a.png', `${oss.url}/library/a.png?x=1`];
    for (const url of elsewhere) {
      const { status, body } = await gateway.call('POST', '/tasks', { url, type: 'image' });
      assert.deepEqual([status, body.code, body.field], [400, 'source_refused', 'url']);
      assert.doesNotMatch(body.message, /127\.0\.0\.1/);
    }
  });
});
