import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { request } from 'undici';
import { type Config, dataFolders, readConfig } from '../config/config.ts';
import { readEnv } from '../config/env.ts';
import { backendsOrEmulator } from '../emulator-process.ts';
import { Gateway } from '../gateway.ts';
import { dialectSettings } from '../http/dialects/index.ts';
import { run, stopSignal } from '../run.ts';
import { createLogger } from '../telemetry/logger.ts';
import { readArguments } from './arguments.ts';
import { demoInputs, slownessOf, unusable } from './demo-inputs.ts';
import { FileServer } from './file-server.ts';
import { forOutput } from './fold.ts';
import { leftBehind, shortPath } from './left-behind.ts';
import { type ShownTask, StageBars } from './stage-bars.ts';

const usage = `Upscales a picture and a clip through the whole gateway, then keeps serving.

  npm run demo -- [--input FILE] [--workflow NAME] [--once]

  --input FILE     a picture or a clip of yours; without it, a photograph and a short clip of it
  --workflow NAME  one of the folder workflows/; without it, ESRGAN
  --once           exit when the results are there`;

const pollMs = 200;
/** Columns of a label, before its value. */
const label = 8;

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
  const inputs = await demoInputs(parts, options);
  // The gateway fetches its sources over HTTP, like everybody's.
  const files = parts.use(await FileServer.start(inputs.map(({ path }) => path)));
  const config = demoConfig(files.host);
  const logger = createLogger(config.logLevel);
  for (const slowness of config.backends ? [] : inputs.map(slownessOf)) {
    if (slowness) say(slowness);
  }
  const backends = await backendsOrEmulator(config, parts, logger);
  const gateway = parts.use(await Gateway.start({ ...config, backends, apiKeys: [] }, logger));
  say(`The gateway listens on ${gateway.url}`);

  let hasStopped = false;
  for (const { path, kind } of inputs) {
    const workflow = options.workflow ? { workflow: options.workflow } : {};
    const body = { url: files.urlOf(path), type: kind, ...workflow };
    say(`\nPOST /tasks ${JSON.stringify(body, null, 1).replace(/\n */g, ' ')}`);
    const id = await submit(gateway.url, body);
    const task = await Promise.race([follow(gateway.url, id), stopped]);
    hasStopped = typeof task === 'string';
    if (typeof task === 'string') break;
    report(task, path, config);
    if (task.status !== 'completed') process.exitCode = 1;
  }
  say(`\n${leftBehind(config)}`);
  if (options.once || hasStopped) return;
  say(`\nStill serving on ${gateway.url} (try /monitor/stats); Ctrl-C stops it.`);
  await stopped;
});

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
    say(`The task ${status}: ${error}`);
    return;
  }
  const { input: before, width, height } = output.metadata;
  sayLabelled(`before  ${before.width} x ${before.height} pixels  ${shortPath(input)}`);
  sayLabelled(`after   ${width} x ${height} pixels  ${output.size_mb} MB`);
  sayLabelled(`URL     ${output.url}`);
  if (config.storage.driver === 'disk')
    sayLabelled(`path    ${shortPath(pathOf(output.url, config))}`);
}

function pathOf(url: string, config: Config): string {
  const [, key = ''] = new URL(url).pathname.split('/objects/', 2);
  return join(dataFolders(config.dataDir).objects, ...decodeURIComponent(key).split('/'));
}

function say(text: string, indent = ''): void {
  console.log(forOutput(text, process.stdout, indent));
}

/** Further lines begin below the value. */
function sayLabelled(text: string): void {
  say(text, ' '.repeat(label));
}
