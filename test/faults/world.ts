import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import PQueue from 'p-queue';
import { dataFolders } from '../../src/config/config.ts';
import type { DatabaseOptions } from '../../src/db/connect.ts';
import { EmulatorProcess } from '../support/emulator-process.ts';
import { samplePng } from '../support/media-samples.ts';
import { PostgresServer } from '../support/postgres-server.ts';
import { S3Server } from '../support/s3-server.ts';
import { SourceServer } from '../support/source-server.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { type Engine, gatewayDatabase } from '../support/test-database.ts';
import { createTestWorkflows } from '../support/test-workflows.ts';
import type { Pair, Trouble } from './plan.ts';
import type { Random } from './random.ts';
import { Replica, type ReplicaOptions } from './replica.ts';

export interface WorldOptions extends Pick<ReplicaOptions, 'program' | 'random'> {
  readonly engine: Engine;
  readonly gateways: number;
  readonly backends: number;
  /** How long a prompt has the GPU. */
  readonly seconds: number;
  /** On Postgres, one of its own, which may be restarted. */
  readonly ownsDatabase: boolean;
}

/** What gateways speak to. */
export interface Surroundings {
  readonly backends: readonly EmulatorProcess[];
  /** Where results are kept on Postgres; `null`: on disk. */
  readonly bucket: S3Server | null;
  /** `null`: shared with other tests, or embedded. */
  readonly postgres: PostgresServer | null;
  readonly database: DatabaseOptions;
  /** Where results are kept on PGlite. */
  readonly objectsDir: string;
  /** What a task may name: a picture, and a redirect to where no gateway may go. */
  readonly sources: Readonly<Record<'good' | 'forbidden', string>>;
  readonly proxies: ReadonlyMap<Pair, readonly TcpProxy[]>;
  readonly env: Readonly<Record<string, string>>;
}

/** Gateways and all that they speak to, each pair over a proxy that does it harm. */
export class World implements AsyncDisposable {
  readonly around: Surroundings;
  readonly #replicas: readonly Replica[];
  readonly #random: Random;
  readonly #parts: AsyncDisposableStack;
  /** Servers are restarted one after the other: the next one would end what is only coming up. */
  readonly #restarts = new PQueue({ concurrency: 1 });

  private constructor(
    around: Surroundings,
    replicas: readonly Replica[],
    random: Random,
    parts: AsyncDisposableStack,
  ) {
    this.around = around;
    this.#replicas = replicas;
    this.#random = random;
    this.#parts = parts;
  }

  static async start(options: WorldOptions): Promise<World> {
    await using parts = new AsyncDisposableStack();
    const around = await surroundings(options, parts);
    const replicas = await Promise.all(
      Array.from({ length: options.gateways }, async () =>
        parts.use(await Replica.start({ ...options, env: around.env })),
      ),
    );
    return new World(around, replicas, options.random, parts.move());
  }

  /** Where clients reach a gateway; `null` while none is up. */
  get address(): string | null {
    const up = this.#clients;
    const proxy = up[Math.floor(this.#random() * up.length)];
    return proxy ? `http://127.0.0.1:${proxy.port}` : null;
  }

  /** What gateways did that nobody asked for. */
  get broken(): readonly string[] {
    return this.#replicas.flatMap(({ broken }) => broken);
  }

  /** Does what the plan says; what takes its time goes on when this has returned. */
  async suffer(trouble: Trouble): Promise<void> {
    switch (trouble.kind) {
      case 'cut':
        for (const proxy of this.#between(trouble.pair)) proxy.cut(trouble.how);
        return;
      case 'cut-next':
        for (const proxy of this.#between(trouble.pair)) proxy.cutNext(trouble.how);
        return;
      case 'half-open':
        for (const proxy of this.#between(trouble.pair)) proxy.freeze();
        return;
      case 'slow': {
        const proxies = this.#between(trouble.pair);
        for (const proxy of proxies) proxy.slow(trouble);
        setTimeout(() => {
          for (const proxy of proxies) proxy.slow(null);
        }, trouble.ms).unref();
        return;
      }
      case 'kill':
        return await this.#replicas[trouble.gateway]?.kill();
      case 'crash':
      case 'doze':
        return await this.#replicas[trouble.gateway]?.kill(trouble);
      case 'sleep':
        return this.#replicas[trouble.gateway]?.sleep(trouble.ms);
      case 'kill-backend':
        return await this.#restarts.add(() => this.around.backends[trouble.backend]?.restart());
      case 'restart-database':
        return await this.#restarts.add(async () => {
          await this.around.postgres?.crash();
          await delay(trouble.ms);
          await this.around.postgres?.resume();
        });
      case 'corrupt':
        this.around.bucket?.fail({ kind: 'corrupt' }, { when: ({ method }) => method === 'PUT' });
    }
  }

  /** Everything works again, in gateways that nothing is going to happen to. */
  async heal(): Promise<void> {
    for (const proxies of this.around.proxies.values()) {
      for (const proxy of proxies) {
        proxy.slow(null);
        proxy.disarm();
      }
    }
    this.around.bucket?.mend();
    await Promise.all(this.#replicas.map((replica) => replica.kill()));
  }

  /** No gateway runs any more. */
  async stop(): Promise<void> {
    await Promise.all(this.#replicas.map((replica) => replica[Symbol.asyncDispose]()));
  }

  get #clients(): TcpProxy[] {
    return this.#replicas.flatMap(({ proxy }) => proxy ?? []);
  }

  #between(pair: Pair): readonly TcpProxy[] {
    return pair === 'client' ? this.#clients : (this.around.proxies.get(pair) ?? []);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts.disposeAsync();
  }
}

async function surroundings(
  { engine, backends: count, seconds, random, ownsDatabase }: WorldOptions,
  parts: AsyncDisposableStack,
): Promise<Surroundings> {
  const before = async (url: string) => parts.use(await TcpProxy.before(url, { random }));
  const dataDir = await mkdtemp(join(tmpdir(), 'tmlsr-faults-'));
  parts.defer(() => rm(dataDir, { recursive: true, force: true }));
  const isPostgres = engine === 'postgres';
  const postgres = isPostgres && ownsDatabase ? parts.use(await PostgresServer.start()) : null;
  const url = postgres?.url ?? (await gatewayDatabase({ engine }, dataDir, parts));
  const toDatabase = isPostgres ? await before(url) : null;
  const backends: EmulatorProcess[] = [];
  for (let i = 0; i < count; i += 1) backends.push(parts.use(await EmulatorProcess.start()));
  const toBackends = await Promise.all(backends.map((backend) => before(backend.url)));
  const bucket = isPostgres ? parts.use(await S3Server.start()) : null;
  const toBucket = bucket && (await before(bucket.url));
  const files = parts.use(await SourceServer.start());
  const secrets = parts.use(await SourceServer.start());
  const toFiles = await before(`http://${files.host}`);
  const workflows = parts.use(await createTestWorkflows(seconds));

  const picture = await samplePng({ width: 64, height: 64, seed: 1 });
  const secret = secrets.file('secret.png', picture);
  const redirect = files.answer('redirect', (_request, response) => {
    response.writeHead(302, { location: secret }).end();
  });
  return {
    backends,
    bucket,
    postgres,
    database: isPostgres
      ? { engine: 'postgres', url }
      : { engine: 'pglite', dataDir: dataFolders(dataDir).database },
    objectsDir: dataFolders(dataDir).objects,
    sources: {
      good: toFiles.through(files.file('a.png', picture)),
      forbidden: toFiles.through(redirect),
    },
    proxies: new Map<Pair, readonly TcpProxy[]>([
      ['database', toDatabase ? [toDatabase] : []],
      ['backend', toBackends],
      ['store', toBucket ? [toBucket] : []],
      ['source', [toFiles]],
    ]),
    env: {
      DATA_DIR: dataDir,
      WORKFLOWS_DIR: workflows.folder,
      SOURCE_ALLOW: `127.0.0.1:${toFiles.port}`,
      COMFYUI_BACKENDS: toBackends.map(({ port }) => `http://127.0.0.1:${port}`).join(),
      DATABASE_URL: toDatabase?.through(url) ?? '',
      THUMBNAILS: 'false',
      // What is cut again and again is not to be given up for it.
      MAX_ATTEMPTS: '20',
      // A slow machine gets done what it takes on.
      MAX_QUEUE: '40',
      ...(bucket && toBucket ? bucketSettings(bucket, toBucket) : {}),
    },
  };
}

function bucketSettings(
  { bucketName, credentials }: S3Server,
  { port }: TcpProxy,
): Record<string, string> {
  return {
    STORAGE: 's3',
    S3_ENDPOINT: `http://127.0.0.1:${port}`,
    S3_FORCE_PATH_STYLE: 'true',
    S3_REGION: credentials.region,
    S3_BUCKET: bucketName,
    S3_ACCESS_KEY_ID: credentials.accessKeyId,
    S3_SECRET_ACCESS_KEY: credentials.secretAccessKey,
  };
}
