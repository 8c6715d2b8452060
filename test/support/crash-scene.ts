import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Emulator } from '../../src/emulator/emulator.ts';
import type { PromptRun } from '../../src/emulator/ledger.ts';
import type { Milestone } from '../../src/telemetry/milestones.ts';
import type { TaskBody } from './gateway-client.ts';
import { hasEnded } from './gateway-client.ts';
import { GatewayProcess } from './gateway-process.ts';
import { samplePng } from './media-samples.ts';
import { patienceMs } from './patience.ts';
import { SourceServer } from './source-server.ts';
import { type Engine, gatewayDatabase } from './test-database.ts';
import { createTestWorkflows, type TestWorkflows } from './test-workflows.ts';

export interface CrashSceneOptions {
  readonly engine: Engine;
  readonly emulators?: number;
  /** How long a prompt has the GPU. */
  readonly seconds?: number;
  /** Addresses of backends that are not in this process. */
  readonly backends?: readonly string[];
  /** Settings beside those of the scene. */
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * All that gateways need, in this process, which outlives them: a database, a folder, sources,
 * workflows, and emulators that count every prompt which they run.
 */
export interface CrashScene extends AsyncDisposable {
  readonly emulators: readonly Emulator[];
  readonly dataDir: string;
  /** Empty on PGlite. */
  readonly databaseUrl: string;
  readonly env: Readonly<Record<string, string>>;
  readonly workflows: TestWorkflows;
  readonly task: { readonly url: string; readonly workflow: 'sleep' };
  /** What ran on all emulators. */
  runs(): PromptRun[];
}

export async function createCrashScene({
  engine,
  emulators: count = 1,
  seconds = 2,
  backends = [],
  env = {},
}: CrashSceneOptions): Promise<CrashScene> {
  await using parts = new AsyncDisposableStack();
  const emulators: Emulator[] = [];
  for (let i = 0; i < count; i += 1) emulators.push(parts.use(await Emulator.start()));
  const sources = parts.use(await SourceServer.start());
  const workflows = parts.use(await createTestWorkflows(seconds));
  const dataDir = await mkdtemp(join(tmpdir(), 'tmlsr-data-'));
  parts.defer(() => rm(dataDir, { recursive: true, force: true }));
  const databaseUrl = await gatewayDatabase({ engine }, dataDir, parts);
  const url = sources.file('a.png', await samplePng({ width: 16, height: 16, seed: 1 }));
  const owned = parts.move();
  return {
    emulators,
    dataDir,
    databaseUrl,
    env: {
      DATA_DIR: dataDir,
      WORKFLOWS_DIR: workflows.folder,
      SOURCE_ALLOW: sources.host,
      COMFYUI_BACKENDS: [...emulators.map((emulator) => emulator.url), ...backends].join(','),
      DATABASE_URL: databaseUrl,
      ...env,
    },
    workflows,
    task: { url, workflow: 'sleep' },
    runs: () => emulators.flatMap((emulator) => emulator.runs),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

export interface Crash {
  readonly milestone: Milestone;
  /** It is the nth time there that is the end. */
  readonly nth: number;
  readonly tasks: number;
}

/**
 * Submits tasks to a gateway that kills itself at the milestone, and starts another one. A client that
 * got no answer submits its task again, as clients do. Returns how all tasks of the scene have ended.
 */
export async function crashAt(
  scene: CrashScene,
  { milestone, nth, tasks }: Crash,
): Promise<TaskBody[]> {
  const taken: string[] = [];
  const submit = async (gateway: GatewayProcess) => {
    while (taken.length < tasks) taken.push(await gateway.client.submit(scene.task));
  };
  {
    await using doomed = await GatewayProcess.start(scene.env, {
      fate: { kind: 'crash', milestone, nth },
    });
    await submit(doomed).catch((error) => {
      if (doomed.isRunning && !isConnectionLoss(error)) throw error;
    });
    const isOver = await Promise.race([doomed.exited, delay(patienceMs, 'never', { ref: false })]);
    assert.notEqual(isOver, 'never', `It did not come to ${milestone} ${nth} times`);
  }
  await using heir = await GatewayProcess.start(scene.env);
  await submit(heir);
  for (const id of taken) await heir.client.until(id, hasEnded);
  const all = await heir.client.newest();
  // One whose answer the crash cut off is kept all the same.
  for (const { task_id: id } of all) await heir.client.until(id, hasEnded);
  const ended = await heir.client.newest();
  await heir.end('SIGTERM');
  return ended;
}

function isConnectionLoss(error: unknown): boolean {
  return error instanceof Error && 'code' in error;
}
