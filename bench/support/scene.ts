import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import postgres from 'postgres';
import { type EmulatedRun, EmulatorProcess } from '../../test/support/emulator-process.ts';
import type { GatewayClient } from '../../test/support/gateway-client.ts';
import { GatewayProcess } from '../../test/support/gateway-process.ts';
import { samplePng } from '../../test/support/media-samples.ts';
import { SourceServer } from '../../test/support/source-server.ts';
import { createTestDatabase, urlOf } from '../../test/support/test-database.ts';
import { createTestWorkflows } from '../../test/support/test-workflows.ts';
import { residentBytes } from './resident-memory.ts';

/** The service at the tempo that it has outside of tests. */
const service = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

export interface SceneOptions {
  /** ComfyUI servers that run already. */
  readonly backends: readonly string[];
  /** Graphs by the workflow's name. */
  readonly workflows: Readonly<Record<string, unknown>>;
  /** The source of every task. */
  readonly picture: Buffer;
  readonly env?: Readonly<Record<string, string>>;
  /** Without one, that of an empty database. */
  readonly databaseUrl?: string;
  /** Whether it waits as it does outside of tests. */
  readonly isAtRealTempo?: boolean;
}

/** A gateway as a process of its own, on an empty Postgres, in front of servers. */
export interface Scene extends AsyncDisposable {
  readonly gateway: GatewayClient;
  /** Where the picture is. */
  readonly url: string;
  /** The prompt of each task's last attempt. */
  promptsOf(taskIds: readonly string[]): Promise<string[]>;
  /** What the gateway has in memory. */
  residentBytes(): Promise<number>;
}

export async function setScene({
  backends,
  workflows,
  picture,
  env,
  databaseUrl = '',
  isAtRealTempo = false,
}: SceneOptions): Promise<Scene> {
  await using parts = new AsyncDisposableStack();
  const address = databaseUrl || urlOf(parts.use(await createTestDatabase('postgres')));
  const sources = parts.use(await SourceServer.start());
  const folder = parts.use(await createTestWorkflows());
  for (const [name, graph] of Object.entries(workflows)) await folder.write(name, graph);
  const dataDir = await mkdtemp(join(tmpdir(), 'tmlsr-bench-'));
  parts.defer(() => rm(dataDir, { recursive: true, force: true }));
  const settings = {
    DATABASE_URL: address,
    DATA_DIR: dataDir,
    COMFYUI_BACKENDS: backends.join(','),
    SOURCE_ALLOW: sources.host,
    WORKFLOWS_DIR: folder.folder,
    LOG_LEVEL: 'info',
    ...env,
  };
  const { client, pid } = parts.use(
    await GatewayProcess.start(settings, isAtRealTempo ? { program: service } : {}),
  );
  await allIdle(client, backends.length);
  const owned = parts.move();
  return {
    gateway: client,
    url: sources.file('a.png', picture),
    promptsOf: (taskIds) => promptsOf(address, taskIds),
    residentBytes: () => residentBytes(pid),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Submits a task for each of the workflows, in their order, and waits until all have completed. */
export async function completeAll(
  { gateway, url }: Pick<Scene, 'gateway' | 'url'>,
  workflows: readonly string[],
): Promise<{ readonly ids: string[]; readonly startedAt: number; readonly seconds: number }> {
  const startedAt = Date.now();
  const ids: string[] = [];
  for (const workflow of workflows) ids.push(await gateway.submit({ url, workflow }));
  for (const id of ids) {
    const { status, error } = await gateway.until(id, undefined, 600_000);
    if (status !== 'completed') throw new Error(`Task ${id} is ${status}: ${error}`);
  }
  return { ids, startedAt, seconds: (Date.now() - startedAt) / 1_000 };
}

export interface Emulators extends AsyncDisposable {
  readonly urls: readonly string[];
  /** By emulator, the runs that have ended, oldest first. */
  runs(): Promise<EndedRun[][]>;
}

export interface EndedRun extends EmulatedRun {
  readonly endedAt: number;
}

/** One process for each of the slowdowns. */
export async function startEmulators(slowdowns: readonly number[]): Promise<Emulators> {
  await using parts = new AsyncDisposableStack();
  const emulators: EmulatorProcess[] = [];
  for (const slowdown of slowdowns) {
    emulators.push(parts.use(await EmulatorProcess.start({ slowdown })));
  }
  const owned = parts.move();
  return {
    urls: emulators.map(({ url }) => url),
    runs: async () => (await Promise.all(emulators.map((each) => each.runs()))).map(ended),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** About 1 MB. */
export async function largePicture(): Promise<Buffer> {
  return await samplePng({ width: 700, height: 700, seed: 1 });
}

export async function smallPicture(): Promise<Buffer> {
  return await samplePng({ width: 64, height: 64, seed: 1 });
}

function ended(runs: readonly EmulatedRun[]): EndedRun[] {
  return runs
    .filter((run): run is EndedRun => run.endedAt !== null)
    .sort((a, b) => a.startedAt - b.startedAt);
}

async function promptsOf(databaseUrl: string, taskIds: readonly string[]): Promise<string[]> {
  const sql = postgres(databaseUrl, { max: 1 });
  try {
    const rows = await sql<{ task_id: string; prompt_id: string }[]>`
      select replace(task_id::text, '-', '') as task_id, prompt_id from attempts order by number`;
    const prompts = new Map(rows.map((row) => [row.task_id, row.prompt_id]));
    return taskIds.map((id) => prompts.get(id) ?? '');
  } finally {
    await sql.end();
  }
}

/** Waits until so many servers are idle. */
export async function allIdle(
  gateway: GatewayClient,
  count: number,
  withinMs = 60_000,
): Promise<void> {
  const deadline = Date.now() + withinMs;
  for (;;) {
    const backends = (await gateway.call('GET', '/backends')).body.backends as {
      state: string;
    }[];
    if (backends.filter(({ state }) => state === 'idle').length === count) return;
    if (Date.now() > deadline)
      throw new Error(`Not all servers answer: ${JSON.stringify(backends)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
