import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import type { RequestView } from './support/bucket-server/faults.ts';
import { createCrashScene } from './support/crash-scene.ts';
import { eventually } from './support/eventually.ts';
import { GatewayProcess } from './support/gateway-process.ts';
import { freeBox, sampleMp4 } from './support/media-samples.ts';
import { OssServer } from './support/oss-server.ts';
import { scenesAtOnce } from './support/patience.ts';
import { S3Server } from './support/s3-server.ts';
import { SourceServer } from './support/source-server.ts';
import { passClipGraph } from './support/test-workflows.ts';

/** The gateway sends parts of 8 MiB. */
const clipBytes = 48 * 1024 * 1024;
const doneBeforeKill = 3;

const services = {
  OSS: {
    start: () => OssServer.start(),
    env: ({ url, bucketName, credentials }: OssServer) => ({
      STORAGE: 'oss',
      OSS_ENDPOINT: url,
      OSS_REGION: credentials.region,
      OSS_BUCKET: bucketName,
      OSS_ACCESS_KEY_ID: credentials.accessKeyId,
      OSS_ACCESS_KEY_SECRET: credentials.accessKeySecret,
    }),
  },
  S3: {
    start: () => S3Server.start(),
    env: ({ url, bucketName, credentials }: S3Server) => ({
      STORAGE: 's3',
      S3_ENDPOINT: url,
      S3_FORCE_PATH_STYLE: 'true',
      S3_REGION: credentials.region,
      S3_BUCKET: bucketName,
      S3_ACCESS_KEY_ID: credentials.accessKeyId,
      S3_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    }),
  },
} as const;

async function largeClip(): Promise<Buffer> {
  const clip = await sampleMp4({ width: 32, height: 32, frames: 2, fps: 2 });
  const padding = clipBytes - clip.length;
  return Buffer.concat([clip, freeBox(padding), randomBytes(padding - 16)]);
}

const partOf = ({ query }: RequestView) => Number(query.get('partNumber'));

describe('a gateway that is killed while a large result is on its way', {
  concurrency: scenesAtOnce,
}, () => {
  for (const [name, { start, env }] of Object.entries(services)) {
    it(`is succeeded by one that goes on with the parts that ${name} has`, async () => {
      await using cleanup = new AsyncDisposableStack();
      const server = cleanup.use(await start());
      const sources = cleanup.use(await SourceServer.start());
      const scene = cleanup.use(
        await createCrashScene({ engine: 'pglite', env: env(server as never) }),
      );
      await scene.workflows.write('pass', passClipGraph());
      const clip = await largeClip();
      const url = sources.file('large.mp4', clip);
      const SOURCE_ALLOW = sources.host;

      server.fail(
        { kind: 'stall', afterBytes: 0 },
        { times: 100, when: (request) => partOf(request) > doneBeforeKill },
      );
      const first = cleanup.use(await GatewayProcess.start({ ...scene.env, SOURCE_ALLOW }));
      const id = await first.client.submit({ url, workflow: 'pass' });
      const uploads = () => [...server.bucket.uploads.values()];
      await eventually(async () => {
        assert.equal(uploads()[0]?.parts.size, doneBeforeKill);
        // And the next ones are under way.
        assert.ok(server.requests.some((request) => partOf(request) > doneBeforeKill));
      });
      await first.end('SIGKILL');
      const complete = new Set(uploads()[0]?.parts.keys());
      const before = server.requests.length;
      server.mend();

      const second = cleanup.use(await GatewayProcess.start({ ...scene.env, SOURCE_ALLOW }));
      const task = await second.client.until(id);
      assert.equal(task.status, 'completed', task.error ?? '');
      const sent = server.requests.slice(before).map(partOf).filter(Boolean);
      assert.deepEqual(
        sent.sort((a, b) => a - b),
        [4, 5, 6],
      );
      assert.ok(sent.every((number) => !complete.has(number)));
      assert.deepEqual(
        scene.runs().map(({ status }) => status),
        ['success'],
      );
      assert.equal(task.retries, 0);
      assert.equal(server.bucket.uploads.size, 0);
      const [object] = [...server.bucket.objects.values()];
      assert.ok(object);
      const sha256 = createHash('sha256').update(clip).digest('hex');
      assert.equal(await server.bucket.sha256(object), sha256);
      assert.equal(task.output?.metadata.sha256, sha256);
    });
  }
});
