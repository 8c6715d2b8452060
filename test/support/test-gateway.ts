import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readConfig } from '../../src/config/config.ts';
import type { Tempo } from '../../src/core/tempo.ts';
import { Gateway } from '../../src/gateway.ts';
import { dialectSettings } from '../../src/http/dialects/index.ts';
import { createLogger, type Logger } from '../../src/telemetry/logger.ts';
import { GatewayClient } from './gateway-client.ts';
import { testTempo } from './tempo.ts';
import { type Engine, gatewayDatabase, type TestDatabase } from './test-database.ts';

export interface TestGatewayOptions {
  readonly engine: Engine;
  readonly backends: readonly string[];
  /** Settings beside those of the test. */
  readonly env?: Readonly<Record<string, string>>;
  /** Kept when the gateway is started again. */
  readonly database?: TestDatabase;
  readonly dataDir?: string;
  /** Hears what it logs, in place of the standard output. */
  readonly logger?: Logger;
  readonly tempo?: Tempo;
}

/** A whole gateway on a free port, in this process. */
export class TestGateway extends GatewayClient implements AsyncDisposable {
  readonly dataDir: string;
  /** Of dialects with a port of their own. */
  readonly dialectUrls: ReadonlyMap<string, string>;
  readonly #parts: AsyncDisposableStack;

  private constructor(
    { url, dialectUrls }: Pick<Gateway, 'url' | 'dialectUrls'>,
    dataDir: string,
    parts: AsyncDisposableStack,
  ) {
    super(url);
    this.dialectUrls = dialectUrls;
    this.dataDir = dataDir;
    this.#parts = parts;
  }

  static async start(options: TestGatewayOptions): Promise<TestGateway> {
    await using parts = new AsyncDisposableStack();
    const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'tmlsr-data-')));
    if (!options.dataDir) parts.defer(() => rm(dataDir, { recursive: true, force: true }));
    const databaseUrl = await gatewayDatabase(options, dataDir, parts);
    const config = readConfig(
      {
        PORT: '0',
        DATA_DIR: dataDir,
        COMFYUI_BACKENDS: options.backends.join(',') || 'none',
        LOG_LEVEL: process.env.TEST_LOG_LEVEL ?? 'silent',
        DATABASE_URL: databaseUrl,
        // Many gateways share one server.
        DATABASE_POOL_SIZE: '4',
        ...options.env,
      },
      dialectSettings,
    );
    const gateway = parts.use(
      await Gateway.start(
        { ...config, backends: config.backends ?? [] },
        options.logger ?? createLogger(config.logLevel),
        { tempo: options.tempo ?? testTempo },
      ),
    );
    return new TestGateway(gateway, dataDir, parts.move());
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
