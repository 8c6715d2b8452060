import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { Emulator, type EmulatorOptions } from '../../src/emulator/emulator.ts';
import type { TaskBody } from './gateway-client.ts';
import { samplePng } from './media-samples.ts';
import { patienceMs } from './patience.ts';
import { ReverseProxy } from './reverse-proxy.ts';
import { SourceServer } from './source-server.ts';
import { TestGateway, type TestGatewayOptions } from './test-gateway.ts';
import { createTestWorkflows, sleepGraph, type TestWorkflows } from './test-workflows.ts';

export interface BackendBody {
  readonly id: string;
  readonly address: string;
  readonly wanted: string;
  readonly fixed: boolean;
  readonly state: string;
  readonly reason: string;
  readonly since: string | null;
  readonly cannot_run: Record<string, string[]>;
}

/** A source, and workflows that last 0.1 s (`sleep`) and 1.5 s (`long`): all gateways may share them. */
export class Supplies implements AsyncDisposable {
  readonly url: string;
  readonly env: Readonly<Record<string, string>>;
  readonly workflows: TestWorkflows;
  readonly #parts: AsyncDisposableStack;

  private constructor(
    url: string,
    host: string,
    workflows: TestWorkflows,
    parts: AsyncDisposableStack,
  ) {
    this.url = url;
    this.env = { SOURCE_ALLOW: host, WORKFLOWS_DIR: workflows.folder };
    this.workflows = workflows;
    this.#parts = parts;
  }

  static async open(): Promise<Supplies> {
    await using parts = new AsyncDisposableStack();
    const sources = parts.use(await SourceServer.start());
    const workflows = parts.use(await createTestWorkflows(0.1));
    await workflows.write('long', sleepGraph(1.5));
    const url = sources.file('a.png', await samplePng({ width: 16, height: 16, seed: 1 }));
    return new Supplies(url, sources.host, workflows, parts.move());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts.disposeAsync();
  }
}

/** A gateway with its emulators, taken down together. */
export class Scene extends AsyncDisposableStack {
  readonly #env: Readonly<Record<string, string>>;

  constructor({ env }: Pick<Supplies, 'env'>) {
    super();
    this.#env = env;
  }

  async emulator(options: EmulatorOptions = {}): Promise<Emulator> {
    return this.use(await Emulator.start(options));
  }

  async proxy(target: string): Promise<ReverseProxy> {
    return this.use(await ReverseProxy.start(target));
  }

  /** When this returns, the emulators among its backends are idle. */
  async gateway(
    backends: readonly (Emulator | ReverseProxy | string)[],
    { env, ...options }: Partial<TestGatewayOptions> = {},
  ): Promise<TestGateway> {
    const urls = backends.map((each) => (typeof each === 'string' ? each : each.url));
    const gateway = this.use(
      await TestGateway.start({
        engine: 'postgres',
        backends: urls,
        env: { ...this.#env, ...env },
        ...options,
      }),
    );
    for (const each of backends) {
      if (typeof each !== 'string') await untilBackend(gateway, each.url, isIdle);
    }
    return gateway;
  }
}

export const isIdle = ({ state }: BackendBody): boolean => state === 'idle';

export async function backendsOf(gateway: TestGateway): Promise<BackendBody[]> {
  const { status, body } = await gateway.call('GET', '/backends');
  assert.equal(status, 200);
  return body.backends;
}

/** Waits until the backend is as wanted. */
export async function untilBackend(
  gateway: TestGateway,
  address: string,
  isWanted: (backend: BackendBody) => boolean,
): Promise<BackendBody> {
  const deadline = Date.now() + patienceMs;
  for (;;) {
    const all = await backendsOf(gateway);
    const backend = all.find((each) => each.address === address);
    if (backend && isWanted(backend)) return backend;
    assert.ok(Date.now() < deadline, `not as wanted: ${JSON.stringify(all)}`);
    await delay(25);
  }
}

/** Waits until a task is made ready in front of the backend, and returns its id. */
export async function untilStaged(gateway: TestGateway, address: string): Promise<string> {
  let staged: string | null = null;
  await untilTrue(async () => {
    const { body } = await gateway.call('GET', '/monitor/stats');
    const backend = body.pool_status.find((each: BackendBody) => each.address === address);
    staged = backend?.next_task_id ?? null;
    return staged !== null;
  });
  return staged ?? '';
}

export async function untilTrue(isTrue: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + patienceMs;
  while (!(await isTrue())) {
    assert.ok(Date.now() < deadline, 'it did not come to pass');
    await delay(25);
  }
}

export async function completes(gateway: TestGateway, id: string): Promise<TaskBody> {
  const task = await gateway.until(id);
  assert.equal(task.status, 'completed', `${task.error_code}: ${task.error}`);
  return task;
}
