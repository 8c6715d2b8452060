/**
 * A large clip through URL → gateway → emulator → store, into OSS and onto disk: how much the gateway's
 * resident memory grows, and how fast it is beside a plain HTTP copy over the same hops.
 *
 * The hops of both: a web server → a file of the copier's → the emulator's `/upload/image`, which writes
 * it to its disk → `/view` → the store (an OSS server that checksums and keeps what it gets, or a file
 * that is synced). Gateway and plain copy are processes of their own that take turns; the emulator is
 * another one, web server and OSS server are this one. The workflow hands the clip back as it is, by a
 * link, so that no GPU is in the time. The gateway's time is the client's, from the POST of the task to
 * its end: with hashing, probing, checksums, database and queue. Exits with 1 when a bar is missed.
 *
 *   npx node bench/large-files.ts [megabytes [rounds [oss|disk]]]
 *
 * `kill` in place of the store: kills the gateway halfway through the upload to OSS, and tells what its
 * successor sent (`npx node bench/large-files.ts 1024 1 kill`).
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { readConfig } from '../src/config/config.ts';
import { dialectSettings } from '../src/http/dialects/index.ts';
import { openOssStore } from '../src/storage/oss-store.ts';
import { EmulatorProcess } from '../test/support/emulator-process.ts';
import { hasEnded, type TaskBody } from '../test/support/gateway-client.ts';
import { GatewayProcess } from '../test/support/gateway-process.ts';
import { freeBox, sampleMp4 } from '../test/support/media-samples.ts';
import { OssServer } from '../test/support/oss-server.ts';
import { SourceServer } from '../test/support/source-server.ts';
import { createTestDatabase } from '../test/support/test-database.ts';
import { createTestWorkflows, passClipGraph } from '../test/support/test-workflows.ts';
import { type Figure, judge, quantile, type Scenarios } from './support/figures.ts';
import type { CopyTimes, PlainCopy } from './support/plain-copy.ts';
import { residentBytes } from './support/resident-memory.ts';

const megabyte = 1024 ** 2;
const megabytes = Number(process.argv[2] ?? 4_096);
const rounds = Number(process.argv[3] ?? 3);
const warmUpMegabytes = 64;
const taskMs = 30 * 60_000;

const folder = await mkdtemp(join(tmpdir(), 'tmlsr-bench-'));
await using cleanup = new AsyncDisposableStack();
cleanup.defer(() => rm(folder, { recursive: true, force: true }));
const sources = cleanup.use(await SourceServer.start());
const workflows = cleanup.use(await createTestWorkflows());
await workflows.write('pass', passClipGraph());

type StoreName = 'oss' | 'disk';

/** A gateway of its own with all that it needs; what they leave goes with them. */
async function setStage(storeName: StoreName) {
  await using parts = new AsyncDisposableStack();
  const emulator = parts.use(
    await EmulatorProcess.start({ maxUploadMegabytes: megabytes + warmUpMegabytes }),
  );
  const oss = parts.use(await OssServer.start());
  const database = parts.use(await createTestDatabase('postgres'));
  const dataDir = await mkdtemp(join(folder, 'data-'));
  parts.defer(() => rm(dataDir, { recursive: true, force: true }));
  const { credentials, bucketName, url } = oss;
  const env = {
    DATA_DIR: dataDir,
    DATABASE_URL: database.options.engine === 'postgres' ? database.options.url : '',
    COMFYUI_BACKENDS: emulator.url,
    WORKFLOWS_DIR: workflows.folder,
    SOURCE_ALLOW: sources.host,
    LOG_LEVEL: 'info',
    STORAGE: storeName,
    OSS_ENDPOINT: url,
    OSS_REGION: credentials.region,
    OSS_BUCKET: bucketName,
    OSS_ACCESS_KEY_ID: credentials.accessKeyId,
    OSS_ACCESS_KEY_SECRET: credentials.accessKeySecret,
  };
  const owned = parts.move();
  return { emulator, oss, dataDir, env, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Serves a valid clip of so many megabytes, most of which is a box without meaning. */
async function serveClip(megabytes: number): Promise<string> {
  const bytes = megabytes * megabyte;
  const clip = await sampleMp4({ width: 64, height: 64, frames: 10, fps: 10 });
  const path = join(folder, `${megabytes}.mp4`);
  await using file = await open(path, 'w');
  await file.write(Buffer.concat([clip, freeBox(bytes - clip.length)]));
  await file.truncate(bytes);
  return sources.answer(`${megabytes}.mp4`, (_request, response) => {
    response.writeHead(200, { 'content-length': bytes });
    createReadStream(path, { highWaterMark: megabyte }).pipe(response);
  });
}

async function complete({ client }: GatewayProcess, url: string): Promise<TaskBody> {
  return await end(client, await client.submit({ url, workflow: 'pass' }));
}

/** Asks less often than tests do: on a machine with few cores, to ask is work, too. */
async function end(client: GatewayProcess['client'], id: string): Promise<TaskBody> {
  const deadline = Date.now() + taskMs;
  for (;;) {
    const task = await client.task(id);
    if (hasEnded(task)) {
      if (task.status === 'completed') return task;
      throw new Error(`${task.error_code}: ${task.error}`);
    }
    if (Date.now() > deadline) throw new Error('The task does not come to its end');
    await delay(200);
  }
}

interface Passage {
  readonly seconds: number;
  readonly baseBytes: number;
  readonly peakBytes: number;
  readonly task: TaskBody;
}

async function throughGateway(env: Readonly<Record<string, string>>): Promise<Passage> {
  await using gateway = await GatewayProcess.start(env);
  await complete(gateway, await serveClip(warmUpMegabytes));
  const url = await serveClip(megabytes);
  const baseBytes = await residentBytes(gateway.pid);
  let peakBytes = baseBytes;
  const clock = setInterval(async () => {
    peakBytes = Math.max(peakBytes, await residentBytes(gateway.pid));
  }, 100);
  try {
    const startedAt = performance.now();
    const task = await complete(gateway, url);
    return { seconds: (performance.now() - startedAt) / 1_000, baseBytes, peakBytes, task };
  } finally {
    clearInterval(clock);
  }
}

async function copyPlainly(copy: PlainCopy): Promise<CopyTimes> {
  const child = fork(fileURLToPath(new URL('./support/plain-copy.ts', import.meta.url)));
  const exited = once(child, 'exit').then(([code]) => {
    throw new Error(`The copy ended with code ${code}`);
  });
  child.send(copy);
  try {
    const [times] = await Promise.race([once(child, 'message'), exited]);
    return times;
  } finally {
    exited.catch(() => {});
  }
}

async function plainly(storeName: StoreName): Promise<CopyTimes> {
  await using stage = await setStage(storeName);
  const config = readConfig(stage.env, dialectSettings);
  const files = { spool: join(stage.dataDir, 'spooled'), stored: join(stage.dataDir, 'stored') };
  const source = await serveClip(megabytes);
  const common = { source, spool: files.spool, emulator: stage.emulator.url };
  if (config.storage.driver !== 'oss') {
    return await copyPlainly({ ...common, store: { kind: 'file', path: files.stored } });
  }
  await using store = openOssStore(config.storage);
  const presigned = await store.presignPut('plain.mp4', 'video/mp4', 3_600);
  return await copyPlainly({ ...common, store: { kind: 'put', ...presigned } });
}

async function compare(storeName: StoreName): Promise<Figure[]> {
  const figures: Figure[] = [];
  const ratios: number[] = [];
  for (let round = 1; round <= rounds; round += 1) {
    const plain = await plainly(storeName);
    await using stage = await setStage(storeName);
    const passage = await throughGateway(stage.env);
    const { task, seconds, baseBytes, peakBytes } = passage;
    if (task.output?.metadata.size_bytes !== megabytes * megabyte) throw new Error('It is cut');
    const plainSeconds = plain.download + plain.upload + plain.store;
    const hops = [plain.download, plain.upload, plain.store].map((each) => each.toFixed(1));
    const stages = task.stages.map(({ name, duration }) => `${name} ${duration?.toFixed(1)}`);
    ratios.push(plainSeconds / seconds);
    figures.push(
      { what: `${round}. plain copy (${hops.join(' + ')})`, is: plainSeconds, unit: 's' },
      { what: `${round}. gateway (${stages.join(', ')})`, is: seconds, unit: 's' },
      { what: `${round}. resident before`, is: baseBytes / megabyte, unit: 'MB' },
      {
        what: `${round}. resident memory grew by`,
        is: (peakBytes - baseBytes) / megabyte,
        unit: 'MB',
        atMost: 64,
      },
    );
  }
  const what = `speed beside a plain copy, of ${rounds} rounds the median`;
  return [...figures, { what, is: quantile(ratios, 0.5), atLeast: 0.8 }];
}

/** Kills the gateway when half of the parts are there. */
async function kill(): Promise<Figure[]> {
  await using stage = await setStage('oss');
  const { env, oss, emulator } = stage;
  const { bucket, requests } = oss;
  const first = await GatewayProcess.start(env);
  const url = await serveClip(megabytes);
  const id = await first.client.submit({ url, workflow: 'pass' });
  const half = Math.floor(megabytes / 8 / 2);
  const upload = () => [...bucket.uploads.values()][0];
  while ((upload()?.parts.size ?? 0) < half) await delay(5);
  await first.end('SIGKILL');
  // What was on its way is there or broken off by now.
  await delay(1_000);
  const complete = new Set(upload()?.parts.keys());
  const before = requests.length;
  await using second = await GatewayProcess.start(env);
  const startedAt = performance.now();
  await end(second.client, id);
  const parts = requests.slice(before).map(({ query }) => Number(query.get('partNumber')));
  const sent = parts.filter((number) => number > 0);
  return [
    { what: 'parts that were complete when it was killed', is: complete.size },
    { what: 'parts that its successor sent', is: sent.length },
    {
      what: 'parts that were sent twice',
      is: sent.filter((part) => complete.has(part)).length,
      atMost: 0,
    },
    { what: 'runs on the GPU', is: (await emulator.runs()).length, atMost: 1 },
    {
      what: "from its successor's start to the end (a lease holds for 12 s)",
      is: (performance.now() - startedAt) / 1_000,
      unit: 's',
    },
  ];
}

const clip = `a clip of ${megabytes} MB`;
const scenarios: Scenarios = {
  oss: { title: `${clip} into OSS`, measure: () => compare('oss') },
  disk: { title: `${clip} onto disk`, measure: () => compare('disk') },
  kill: { title: `kill -9 halfway through the upload of ${clip}`, measure: kill },
};
const names = process.argv.slice(4);
process.exitCode = (await judge(scenarios, names.length > 0 ? names : ['oss', 'disk'])) ? 0 : 1;
