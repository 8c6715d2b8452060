import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { request } from 'undici';
import { readConfig } from '../../src/config/config.ts';
import { Gateway } from '../../src/gateway.ts';
import { createLogger } from '../../src/telemetry/logger.ts';
import { createTestDatabase, type Engine, type TestDatabase } from './test-database.ts';

export interface TaskBody {
  readonly task_id: string;
  readonly status: string;
  readonly params: Record<string, unknown>;
  readonly stages: {
    readonly name: string;
    readonly status: string;
    readonly progress: number;
    readonly duration: number | null;
    readonly detail: string | null;
  }[];
  readonly output: {
    readonly url: string;
    readonly size_mb: number;
    // biome-ignore lint/suspicious/noExplicitAny: read by tests as JSON is.
    readonly metadata: any;
  } | null;
  readonly error: string | null;
  readonly error_code: string | null;
  readonly retries: number;
}

export interface Answer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: read by tests as JSON is.
  readonly body: any;
}

export interface TestGatewayOptions {
  readonly engine: Engine;
  readonly backends: readonly string[];
  /** Settings beside those of the test. */
  readonly env?: Readonly<Record<string, string>>;
  /** Kept when the gateway is started again. */
  readonly database?: TestDatabase;
  readonly dataDir?: string;
}

/** A whole gateway on a free port, spoken to over HTTP as its clients do. */
export class TestGateway implements AsyncDisposable {
  readonly url: string;
  readonly dataDir: string;
  readonly #parts: AsyncDisposableStack;

  private constructor(url: string, dataDir: string, parts: AsyncDisposableStack) {
    this.url = url;
    this.dataDir = dataDir;
    this.#parts = parts;
  }

  static async start(options: TestGatewayOptions): Promise<TestGateway> {
    await using parts = new AsyncDisposableStack();
    const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'tmlsr-data-')));
    if (!options.dataDir) parts.defer(() => rm(dataDir, { recursive: true, force: true }));
    const database = options.database ?? parts.use(await createTestDatabase(options.engine));
    const config = readConfig({
      PORT: '0',
      DATA_DIR: dataDir,
      COMFYUI_BACKENDS: options.backends.join(',') || 'none',
      LOG_LEVEL: process.env.TEST_LOG_LEVEL ?? 'silent',
      ...(database.options.engine === 'postgres' ? { DATABASE_URL: database.options.url } : {}),
      ...options.env,
    });
    const gateway = parts.use(
      await Gateway.start(
        { ...config, backends: config.backends ?? [] },
        createLogger(config.logLevel),
      ),
    );
    return new TestGateway(gateway.url, dataDir, parts.move());
  }

  async call(
    method: 'GET' | 'POST' | 'PATCH' | 'DELETE',
    path: string,
    body?: unknown,
  ): Promise<Answer> {
    const response = await request(`${this.url}${path}`, {
      method,
      ...(body === undefined
        ? {}
        : {
            headers: { 'content-type': 'application/json' },
            body: typeof body === 'string' ? body : JSON.stringify(body),
          }),
    });
    const text = await response.body.text();
    return { status: response.statusCode, body: text === '' ? null : JSON.parse(text) };
  }

  /** Submits a task that must be taken on, and returns its id. */
  async submit(task: Record<string, unknown>): Promise<string> {
    const { status, body } = await this.call('POST', '/tasks', task);
    assert.equal(status, 200, JSON.stringify(body));
    assert.match(body.task_id, /^[0-9a-f]{32}$/);
    return body.task_id;
  }

  async task(id: string): Promise<TaskBody> {
    const { status, body } = await this.call('GET', `/tasks/${id}`);
    assert.equal(status, 200, JSON.stringify(body));
    return body;
  }

  /** Waits until the task is as wanted; until it has ended where nothing else is wanted. */
  async until(
    id: string,
    isWanted: (task: TaskBody) => boolean = hasEnded,
    timeoutMs = 60_000,
  ): Promise<TaskBody> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const task = await this.task(id);
      if (isWanted(task)) return task;
      if (Date.now() > deadline || hasEnded(task)) {
        assert.fail(`The task is not as wanted: ${JSON.stringify(task)}`);
      }
      await delay(25);
    }
  }

  /** Files of sources that are still spooled. */
  async spooled(): Promise<string[]> {
    const entries = await readdir(join(this.dataDir, 'spool'), {
      recursive: true,
      withFileTypes: true,
    });
    return entries
      .filter((entry) => entry.isFile() && !entry.name.endsWith('.lock'))
      .map(({ name }) => name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts.disposeAsync();
  }
}

function hasEnded({ status }: TaskBody): boolean {
  return status === 'completed' || status === 'failed' || status === 'canceled';
}
