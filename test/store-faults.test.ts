import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { Emulator } from '../src/emulator/emulator.ts';
import type { Fault, RequestView } from './support/bucket-server/faults.ts';
import { eventually } from './support/eventually.ts';
import { freeBox, sampleMp4 } from './support/media-samples.ts';
import { OssServer } from './support/oss-server.ts';
import { SourceServer } from './support/source-server.ts';
import { TestGateway } from './support/test-gateway.ts';
import { createTestWorkflows, passClipGraph } from './support/test-workflows.ts';

const megabyte = 1024 * 1024;
/** In one request, and in parts of 8 MiB. */
const clips = { small: 1 * megabyte, large: 40 * megabyte };

const isPut = ({ method }: RequestView) => method === 'PUT';
const isEnd = ({ method, query }: RequestView) => method === 'POST' && query.has('uploadId');
const isBegin = ({ method, query }: RequestView) => method === 'POST' && query.has('uploads');

const outdated = 'credentials that have run out';
const faults: [name: string, fault: Fault, when: (request: RequestView) => boolean][] = [
  ['a connection that is reset in the middle of a body', { kind: 'reset', afterBytes: 500 }, isPut],
  ['503 for a body', { kind: 'answer', status: 503, code: 'ServiceUnavailable' }, isPut],
  [
    '500 for whatever is asked first',
    { kind: 'answer', status: 500, code: 'InternalError' },
    isAny,
  ],
  ['an answer that is lost after the body was stored', { kind: 'swallow' }, isPut],
  ['an answer that is lost after an upload was begun', { kind: 'swallow' }, isBegin],
  ['an answer that is lost after the parts were joined', { kind: 'swallow' }, isEnd],
  ['a body that is stored wrong', { kind: 'corrupt' }, isPut],
  [outdated, { kind: 'answer', status: 403, code: 'SecurityTokenExpired' }, isAny],
];

function isAny(): boolean {
  return true;
}

describe('a store that fails under a whole gateway', () => {
  const cleanup = new AsyncDisposableStack();
  let emulator: Emulator;
  let oss: OssServer;
  let gateway: TestGateway;
  let sources: SourceServer;
  let fetchedCredentials = 0;

  before(async () => {
    emulator = cleanup.use(await Emulator.start());
    oss = cleanup.use(await OssServer.start({ stsToken: 'sts-token' }));
    sources = cleanup.use(await SourceServer.start());
    const workflows = cleanup.use(await createTestWorkflows());
    await workflows.write('pass', passClipGraph());
    const { region, accessKeyId, accessKeySecret } = oss.credentials;
    const issuer = createServer((_request, response) => {
      fetchedCredentials += 1;
      const Expiration = new Date(Date.now() + 3_600_000).toISOString();
      const keys = { AccessKeyId: accessKeyId, AccessKeySecret: accessKeySecret };
      response.end(
        JSON.stringify({ Code: 'Success', ...keys, SecurityToken: 'sts-token', Expiration }),
      );
    });
    await new Promise<void>((resolve) => issuer.listen(0, '127.0.0.1', resolve));
    cleanup.defer(() => new Promise<void>((resolve) => void issuer.close(() => resolve())));
    cleanup.defer(() => issuer.closeAllConnections());
    const { port } = issuer.address() as AddressInfo;
    process.env.ALIBABA_CLOUD_CREDENTIALS_URI = `http://127.0.0.1:${port}/credentials`;
    process.env.ALIBABA_CLOUD_ECS_METADATA_DISABLED = 'true';
    cleanup.defer(() => void delete process.env.ALIBABA_CLOUD_CREDENTIALS_URI);
    gateway = cleanup.use(
      await TestGateway.start({
        engine: 'postgres',
        backends: [emulator.url],
        env: {
          SOURCE_ALLOW: sources.host,
          WORKFLOWS_DIR: workflows.folder,
          STORAGE: 'oss',
          OSS_CREDENTIALS: 'chain',
          OSS_ENDPOINT: oss.url,
          OSS_REGION: region,
          OSS_BUCKET: oss.bucketName,
        },
      }),
    );
  });
  after(() => cleanup.disposeAsync());

  async function clipOf(bytes: number): Promise<Buffer> {
    const clip = await sampleMp4({ width: 32, height: 32, frames: 2, fps: 2 });
    const padding = bytes - clip.length;
    return Buffer.concat([clip, freeBox(padding), randomBytes(padding - 16)]);
  }

  for (const [size, bytes] of Object.entries(clips)) {
    for (const [name, fault, when] of faults) {
      if (size === 'small' && (when === isBegin || when === isEnd)) continue;
      it(`ends a ${size} task right, with one run on the GPU: ${name}`, async () => {
        const clip = await clipOf(bytes);
        const url = sources.file('clip.mp4', clip);
        const [runs, issued] = [emulator.runs.length, fetchedCredentials];
        let failed = 0;
        oss.fail(fault, {
          when: (request) => {
            if (failed > 0 || !when(request)) return false;
            failed += 1;
            return true;
          },
        });
        const task = await gateway.until(await gateway.submit({ url, workflow: 'pass' }));
        assert.equal(failed, 1);
        assert.equal(task.status, 'completed', task.error ?? '');
        assert.equal(task.retries, 0);
        assert.equal(emulator.runs.length - runs, 1);
        const stored = [...oss.bucket.objects].filter(([key]) => key.includes(task.task_id));
        assert.deepEqual(
          stored.map(([key]) => key.replace(/[0-9a-f]{32}/g, '…')),
          ['outputs/…/…/clip.mp4'],
        );
        const [[, object] = []] = stored;
        assert.ok(object);
        const sha256 = createHash('sha256').update(clip).digest('hex');
        assert.equal(await oss.bucket.sha256(object), sha256);
        assert.equal(task.output?.metadata.sha256, sha256);
        // The refusal of a body that is still being sent may be lost with the connection.
        const isTold = name === outdated && size === 'large';
        if (isTold) assert.ok(fetchedCredentials > issued);
        await eventually(async () => assert.deepEqual(await gateway.spooled(), []));
      });
    }
  }
});
