import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { GatewayProcess } from '../../test/support/gateway-process.ts';
import { SourceServer } from '../../test/support/source-server.ts';
import { createTestWorkflows, sleepGraph } from '../../test/support/test-workflows.ts';
import type { Figure, Scenario } from '../support/figures.ts';
import { MeteredServer } from '../support/metered-server.ts';
import { allIdle, smallPicture } from '../support/scene.ts';

interface Sizes {
  readonly servers: number;
  readonly gateways: number;
}

const tasks = 100;
const lookMs = 20_000;
const startMs = 400_000;
const program = fileURLToPath(new URL('../support/patient-gateway.ts', import.meta.url));
const emulators = fileURLToPath(new URL('../support/many-emulators.ts', import.meta.url));
/** Of `/proc/PID/stat`. */
const ticksASecond = 100;

/** What a gateway needs with a thousand servers, which run nothing, and then what a task adds. */
export const servers: Scenario = {
  title: 'a gateway with a thousand servers, as against ten',
  measure: () =>
    measureAll([
      { servers: 10, gateways: 1 },
      { servers: 1_000, gateways: 1 },
    ]),
};

/** The same, of several. */
export const gateways: Scenario = {
  title: 'a thousand servers between four gateways',
  measure: () => measureAll([{ servers: 1_000, gateways: 4 }]),
};

async function measureAll(scenes: readonly Sizes[]): Promise<Figure[]> {
  await using server = await MeteredServer.start();
  const figures: Figure[] = [];
  for (const [i, sizes] of scenes.entries()) {
    figures.push(...(await measure(server, `scene${i}`, sizes)));
  }
  return figures;
}

async function measure(
  database: MeteredServer,
  name: string,
  { servers, gateways: count }: Sizes,
): Promise<Figure[]> {
  await using parts = new AsyncDisposableStack();
  const backends = await startEmulators(servers, parts);
  const sources = parts.use(await SourceServer.start());
  const workflows = parts.use(await createTestWorkflows());
  await workflows.write('brief', sleepGraph(0.01));
  const dataDir = await mkdtemp(join(tmpdir(), 'tmlsr-bench-'));
  parts.defer(() => rm(dataDir, { recursive: true, force: true }));
  const env = {
    DATABASE_URL: await database.create(name),
    DATABASE_POOL_SIZE: '10',
    DATA_DIR: dataDir,
    COMFYUI_BACKENDS: backends.join(','),
    SOURCE_ALLOW: sources.host,
    WORKFLOWS_DIR: workflows.folder,
    LOG_LEVEL: 'info',
  };
  const startedAt = performance.now();
  const gateways: GatewayProcess[] = [];
  for (let i = 0; i < count; i += 1) {
    gateways.push(parts.use(await GatewayProcess.start(env, { program })));
  }
  for (const { client } of gateways) await allIdle(client, servers, startMs);
  const seconds = (performance.now() - startedAt) / 1_000;
  await delay(10_000);

  const before = await processorMs(gateways);
  const idle = await database.askedEachSecond(name, lookMs);
  const idleMs = ((await processorMs(gateways)) - before) / (lookMs / 1_000);
  const memory = await megabytes(gateways);

  const [{ client }] = gateways as [GatewayProcess];
  const url = sources.file('a.png', await smallPicture());
  const beforeTasks = await processorMs(gateways);
  const tasksAt = performance.now();
  const asked = await database.asked(name, async () => {
    const ids: string[] = [];
    for (let i = 0; i < tasks; i += 1) ids.push(await client.submit({ url, workflow: 'brief' }));
    for (const id of ids) {
      const { status, error } = await client.until(id, undefined, startMs);
      if (status !== 'completed') throw new Error(`Task ${id} is ${status}: ${error}`);
    }
  });
  const took = (performance.now() - tasksAt) / 1_000;
  const ofTasks = (await processorMs(gateways)) - beforeTasks - idleMs * took;
  const who = `${servers} servers, gateways: ${count}`;
  const rows = await database.sizeOf(name, 'backends');
  return [
    { what: `${who}: all idle after`, is: seconds, unit: 's' },
    { what: `${who}: memory of all`, is: memory, unit: 'MB' },
    { what: `${who}: processor of all, a second`, is: idleMs, unit: 'ms' },
    { what: `${who}: statements a second`, is: idle.statements },
    { what: `${who}: of the database, a second`, is: idle.ms, unit: 'ms' },
    { what: `${who}: the table of servers`, is: rows / 1e6, unit: 'MB' },
    { what: `${who}: processor of a task`, is: ofTasks / tasks, unit: 'ms' },
    {
      what: `${who}: statements of a task`,
      is: (asked.statements - idle.statements * took) / tasks,
    },
  ];
}

/** They are a process of their own, which ends when it is let go. */
async function startEmulators(
  count: number,
  parts: AsyncDisposableStack,
): Promise<readonly string[]> {
  const child = fork(emulators, [String(count)]);
  const exited = once(child, 'exit');
  parts.defer(async () => {
    child.disconnect();
    await exited;
  });
  const [urls] = await once(child, 'message', { signal: AbortSignal.timeout(startMs) });
  return urls as string[];
}

async function processorMs(gateways: readonly GatewayProcess[]): Promise<number> {
  const times = gateways.map(async ({ pid }) => {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    // Behind the name, which is in brackets.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return ((Number(fields[11]) + Number(fields[12])) * 1_000) / ticksASecond;
  });
  return (await Promise.all(times)).reduce((sum, ms) => sum + ms, 0);
}

async function megabytes(gateways: readonly GatewayProcess[]): Promise<number> {
  const sizes = gateways.map(async ({ pid }) => {
    const status = await readFile(`/proc/${pid}/status`, 'utf8');
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1_000;
  });
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}
