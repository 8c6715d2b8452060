import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { findPackageJSON } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { request } from 'undici';
import { type Config, dataFolders, readConfig } from '../config/config.ts';
import { readEnv } from '../config/env.ts';
import { GatewayError } from '../core/errors.ts';
import { type MediaKind, mediaKindOf } from '../core/media.ts';
import { backendsOrEmulator } from '../emulator-process.ts';
import { Gateway } from '../gateway.ts';
import { dialectSettings } from '../http/dialects/index.ts';
import { sniff } from '../media/sniff.ts';
import { run, stopSignal } from '../run.ts';
import { createLogger } from '../telemetry/logger.ts';
import { readArguments } from './arguments.ts';
import { FileServer } from './file-server.ts';
import { filmPicture } from './sample-clip.ts';
import { type ShownTask, StageBars } from './stage-bars.ts';

const usage = `Upscales a picture and a clip through the whole gateway, then keeps serving.

  npm run demo -- [--input FILE] [--workflow NAME] [--once]

  --input FILE     a picture or a clip of yours; without it, a photograph and a short clip of it
  --workflow NAME  one of the folder workflows/; without it, ESRGAN
  --once           exit when the results are there`;

const pollMs = 200;

await run(async () => {
  const { values: options } = readArguments('tmlsr demo', {
    options: {
      input: { type: 'string' },
      workflow: { type: 'string' },
      once: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (options.help) {
    console.log(usage);
    return;
  }
  await using parts = new AsyncDisposableStack();
  const stopped = stopSignal();
  const inputs = options.input ? [resolve(options.input)] : await sampleInputs(parts, options);
  const bodies = await Promise.all(
    inputs.map(async (path) => ({ path, kind: await kindOf(path) })),
  );
  // The gateway fetches its sources over HTTP, like everybody's.
  const files = parts.use(await FileServer.start(inputs));
  const config = demoConfig(files.host);
  const logger = createLogger(config.logLevel);
  const backends = await backendsOrEmulator(config, parts, logger);
  const gateway = parts.use(await Gateway.start({ ...config, backends, apiKeys: [] }, logger));
  console.log(`The gateway listens on ${gateway.url}`);

  for (const { path, kind } of bodies) {
    const workflow = options.workflow ? { workflow: options.workflow } : {};
    const body = { url: files.urlOf(path), type: kind, ...workflow };
    console.log(`\nPOST /tasks ${JSON.stringify(body)}`);
    const id = await submit(gateway.url, body);
    const task = await Promise.race([follow(gateway.url, id), stopped]);
    if (typeof task === 'string') return;
    report(task, path, config);
    if (task.status !== 'completed') process.exitCode = 1;
  }
  if (options.once) return;
  console.log(`\nStill serving on ${gateway.url} (try /monitor/stats); Ctrl-C stops it.`);
  await stopped;
});

/**
 * A real photograph, which comes with the upscaling model, and a clip of it. A workflow is for one
 * or the other.
 */
async function sampleInputs(
  parts: AsyncDisposableStack,
  { workflow }: { workflow?: string | undefined },
): Promise<string[]> {
  const description = findPackageJSON('@upscalerjs/esrgan-slim', import.meta.url);
  if (!description) throw unusable('--input must be given: this install has no sample picture');
  const picture = join(dirname(description), 'assets', 'fixture.png');
  const folder = await mkdtemp(join(tmpdir(), 'tmlsr-demo-'));
  parts.defer(() => rm(folder, { recursive: true, force: true }));
  const clip = join(folder, 'clip.mp4');
  await writeFile(clip, await filmPicture(picture));
  if (workflow) return [workflow.includes('video') ? clip : picture];
  return [picture, clip];
}

async function kindOf(path: string): Promise<MediaKind> {
  const format = await sniff(path).catch((error) => {
    throw unusable(`--input ${path} cannot be read: ${error.message}`);
  });
  if (!format) throw unusable(`--input ${path} is no picture or clip of a type that is known`);
  return mediaKindOf(format);
}

function demoConfig(sourceHost: string): Config {
  const env = readEnv();
  const allow = [env.SOURCE_ALLOW, sourceHost].filter(Boolean).join(',');
  const forDemo = { ...env, SOURCE_ALLOW: allow, LOG_LEVEL: env.LOG_LEVEL ?? 'error' };
  return readConfig(forDemo, dialectSettings);
}

async function submit(gateway: string, task: object): Promise<string> {
  const { statusCode, body } = await request(`${gateway}/tasks`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(task),
  });
  const answer = (await body.json()) as { task_id: string; message?: string };
  if (statusCode !== 200) throw unusable(`The task was refused: ${answer.message}`);
  return answer.task_id;
}

async function follow(gateway: string, id: string): Promise<ShownTask> {
  const bars = new StageBars(process.stdout);
  for (;;) {
    const { body } = await request(`${gateway}/tasks/${id}`);
    const task = (await body.json()) as ShownTask;
    bars.draw(task);
    if (task.status !== 'pending' && task.status !== 'processing') return task;
    await delay(pollMs);
  }
}

function report({ output, error, status }: ShownTask, input: string, config: Config): void {
  if (!output) {
    console.log(`The task ${status}: ${error}`);
    return;
  }
  const { input: before, width, height } = output.metadata;
  console.log(`before  ${before.width} x ${before.height} pixels  ${input}`);
  console.log(`after   ${width} x ${height} pixels  ${output.size_mb} MB`);
  console.log(`URL     ${output.url}`);
  if (config.storage.driver === 'disk') console.log(`path    ${pathOf(output.url, config)}`);
}

function pathOf(url: string, config: Config): string {
  const [, key = ''] = new URL(url).pathname.split('/objects/', 2);
  return join(dataFolders(config.dataDir).objects, ...decodeURIComponent(key).split('/'));
}

function unusable(message: string): GatewayError {
  return new GatewayError('invalid_request', message);
}
