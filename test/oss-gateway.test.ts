import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { Emulator } from '../src/emulator/emulator.ts';
import { samplePng } from './support/media-samples.ts';
import { OssServer } from './support/oss-server.ts';
import { SourceServer } from './support/source-server.ts';
import { TestGateway } from './support/test-gateway.ts';

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

  it('puts the result under outputs/, the id and the name, and links to it', async () => {
    const id = await gateway.submit({ url, type: 'image' });
    const task = await gateway.until(id);
    assert.equal(task.status, 'completed', task.error ?? '');
    assert.equal(task.output?.url, `https://cdn.example.com/outputs/${id}/a_b.png`);
    const object = oss.bucket.objects.get(`outputs/${id}/a_b.png`);
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
    const before = oss.bucket.objects.size;
    oss.fail({ kind: 'stall', afterBytes: 10 });
    const id = await gateway.submit({ url, type: 'image' });
    await gateway.until(id, ({ stages }) => stages[2]?.status === 'running');
    await gateway.call('DELETE', `/tasks/${id}`);
    assert.equal((await gateway.task(id)).status, 'canceled');
    const next = await gateway.until(await gateway.submit({ url, type: 'image' }));
    assert.equal(next.status, 'completed', next.error ?? '');
    assert.equal(oss.bucket.objects.size, before + 1);
  });
});
