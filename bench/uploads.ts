/**
 * What an upload costs the gateway in memory: a picture of 1 GB (a small one with zeros behind it) sent
 * as a form and by `PUT /uploads/{id}`, to a gateway of its own whose resident memory is read meanwhile.
 * Exits with 1 when it grows by more than 64 MB.
 *
 *   npx node bench/uploads.ts [megabytes]
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { request } from 'undici';
import { multipartForm } from '../test/support/form.ts';
import { GatewayProcess } from '../test/support/gateway-process.ts';
import { samplePng } from '../test/support/media-samples.ts';
import { residentBytes } from './support/resident-memory.ts';

const megabyte = 1024 ** 2;
const allowedBytes = 64 * megabyte;
const megabytes = Number(process.argv[2] ?? 1_024);

const dataDir = await mkdtemp(join(tmpdir(), 'tmlsr-bench-'));
await using cleanup = new AsyncDisposableStack();
cleanup.defer(() => rm(dataDir, { recursive: true, force: true }));
const gateway = cleanup.use(
  await GatewayProcess.start({
    DATA_DIR: dataDir,
    COMFYUI_BACKENDS: 'none',
    QUEUE_WHEN_UNAVAILABLE: 'true',
    LOG_LEVEL: 'info',
  }),
);
const { url } = gateway.client;
const png = await samplePng({ width: 64, height: 64, seed: 1 });
const zeros = Buffer.alloc(megabyte);

function* picture(count: number): Generator<Buffer> {
  yield png;
  for (let i = 0; i < count; i += 1) yield zeros;
}

async function asForm(count: number): Promise<void> {
  const mark = Buffer.from('the file goes here');
  const { body, contentType } = multipartForm([
    ['type', 'image'],
    ['file', { bytes: mark, fileName: 'a.png' }],
  ]);
  const at = body.indexOf(mark);
  function* bytes(): Generator<Buffer> {
    yield body.subarray(0, at);
    yield* picture(count);
    yield body.subarray(at + mark.length);
  }
  await send('POST', `${url}/tasks`, contentType, bytes());
}

async function asUpload(count: number): Promise<void> {
  const { body } = await gateway.client.call('POST', '/uploads', {});
  await send('PUT', body.url, 'image/png', picture(count));
}

async function send(
  method: 'POST' | 'PUT',
  to: string,
  contentType: string,
  bytes: Iterable<Buffer>,
): Promise<void> {
  const body = Readable.from(bytes, { objectMode: false });
  const headers = { 'content-type': contentType };
  const response = await request(to, { method, headers, body, headersTimeout: 600_000 });
  const text = await response.body.text();
  if (response.statusCode !== 200) throw new Error(`${response.statusCode}: ${text}`);
}

let isFlat = true;
for (const [name, upload] of [
  ['form', asForm],
  ['PUT', asUpload],
] as const) {
  await upload(16);
  const before = await residentBytes(gateway.pid);
  let peak = before;
  const clock = setInterval(async () => {
    peak = Math.max(peak, await residentBytes(gateway.pid));
  }, 50);
  const startedAt = performance.now();
  await upload(megabytes);
  const seconds = (performance.now() - startedAt) / 1_000;
  clearInterval(clock);
  const grownBytes = peak - before;
  isFlat &&= grownBytes <= allowedBytes;
  console.log(
    `${name}: ${megabytes} MB in ${seconds.toFixed(1)} s (${Math.round(megabytes / seconds)} MB/s), ` +
      `resident ${Math.round(before / megabyte)} MB, grown by ${Math.round(grownBytes / megabyte)} MB`,
  );
}
process.exitCode = isFlat ? 0 : 1;
