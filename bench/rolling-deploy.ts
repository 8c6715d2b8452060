/**
 * A rolling deploy: a gateway of another version, from its own checkout, is joined by one of this version while
 * 200 tasks come in at both. Exits with 1 if a task is lost or has the GPU twice.
 *
 *   git worktree add /tmp/older COMMIT && (cd /tmp/older && npm ci)
 *   TEST_REAL=true npx node bench/rolling-deploy.ts /tmp/older
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { createCrashScene } from '../test/support/crash-scene.ts';
import { GatewayClient } from '../test/support/gateway-client.ts';
import { GatewayProcess } from '../test/support/gateway-process.ts';

const count = 200;
const [, , olderDir] = process.argv;
// The older one has the waits of a service, and takes a quick one for dead.
if (process.env.TEST_REAL !== 'true') throw new Error('Run it with TEST_REAL=true');
if (!olderDir) throw new Error('Name the checkout of the older version');

await using scene = await createCrashScene({ engine: 'postgres', emulators: 4, seconds: 0.3 });
await using older = await startOlder(resolve(olderDir));
const taken: { id: string; by: string }[] = [];
let newer: GatewayProcess | null = null;

for (let i = 0; i < count; i += 1) {
  if (i === count / 4) newer = await GatewayProcess.start(scene.env);
  // As a load balancer does it: one after the other, and never one that has stopped.
  const isOlders = older.isRunning && (newer === null || i % 2 === 0);
  const client = isOlders ? older.client : (newer?.client as GatewayClient);
  const id = await client.submit(scene.task).catch((error) => {
    // It stops, and says so: whoever asks again is served by the other.
    if (!isOlders || !newer) throw error;
    return newer.client.submit(scene.task);
  });
  taken.push({ id, by: isOlders ? 'older' : 'newer' });
  await delay(30);
}
if (!newer) throw new Error('The newer one was never started');
await using heir = newer;

let lost = 0;
for (const { id } of taken) {
  const { status, error } = await heir.client.until(id);
  if (status === 'completed') continue;
  lost += 1;
  console.log(`${id} is ${status}: ${error}`);
}
const succeeded = scene.runs().filter(({ status }) => status === 'success').length;
console.log({
  tasks: taken.length,
  atTheOlder: taken.filter(({ by }) => by === 'older').length,
  lost,
  gpuRuns: scene.runs().length,
  successfulGpuRuns: succeeded,
  theOlderHasStopped: !older.isRunning,
  itSaid: older.lastWord,
});
await heir.end('SIGTERM');
process.exitCode = lost > 0 || succeeded !== taken.length ? 1 : 0;

async function startOlder(dir: string) {
  const child = spawn(process.execPath, [join(dir, 'src', 'main.ts')], {
    cwd: dir,
    env: { PATH: process.env.PATH, PORT: '0', DATABASE_POOL_SIZE: '4', ...scene.env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const state = { lastWord: '' };
  const started = Promise.withResolvers<string>();
  createInterface({ input: child.stdout }).on('line', (line) => {
    const event = JSON.parse(line);
    if (event.msg === 'gateway.started') started.resolve(event.url);
    if (event.msg === 'gateway.stopping') state.lastWord = event.reason ?? event.signal;
  });
  const exited = once(child, 'exit');
  exited.then(() => started.reject(new Error('The older gateway did not start')));
  const client = new GatewayClient(await started.promise);
  return {
    client,
    get isRunning() {
      return child.exitCode === null;
    },
    get lastWord() {
      return state.lastWord;
    },
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null) child.kill('SIGTERM');
      await exited;
    },
  };
}
