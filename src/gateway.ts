import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createAdaptorServer } from '@hono/node-server';
import PQueue from 'p-queue';
import packageJson from '../package.json' with { type: 'json' };
import type { BackendEntry } from './comfyui/address.ts';
import { type Config, dataFolders } from './config/config.ts';
import { defaultRetryPolicy } from './core/next-step.ts';
import { connectDatabase } from './db/connect.ts';
import { lockFile } from './db/file-lock.ts';
import { Notices } from './db/notices.ts';
import { createApp } from './http/app.ts';
import { SourceFetcher } from './media/fetch-source.ts';
import { MediaProbe } from './media/probe.ts';
import { validateSourceUrl } from './media/source-url.ts';
import { Spool } from './media/spool.ts';
import { Dispatcher } from './pipeline/dispatcher.ts';
import { Recovery } from './pipeline/recovery.ts';
import { RunningAttempts } from './pipeline/running-attempts.ts';
import { BackendStore } from './pool/backend-store.ts';
import { LeaseClock } from './pool/lease-clock.ts';
import { Membership } from './pool/membership.ts';
import { Pool } from './pool/pool.ts';
import { PoolService } from './pool/pool-service.ts';
import { DiskStore } from './storage/disk-store.ts';
import type { ObjectStore } from './storage/object-store.ts';
import { OssStore } from './storage/oss-store.ts';
import { AttemptStore } from './tasks/attempt-store.ts';
import { ClaimStore } from './tasks/claim-store.ts';
import { QueueStats } from './tasks/queue-stats.ts';
import { TaskService } from './tasks/task-service.ts';
import { TaskStore } from './tasks/task-store.ts';
import type { Logger } from './telemetry/logger.ts';
import { PoolLog } from './telemetry/pool-log.ts';
import { TaskLog } from './telemetry/task-log.ts';
import { WorkflowFolder } from './workflows/folder.ts';
import { WorkflowRegistry } from './workflows/registry.ts';
import { VersionStore } from './workflows/version-store.ts';
import { WorkflowVersions } from './workflows/versions.ts';
import { WorkflowService } from './workflows/workflow-service.ts';

/** How long a claim on a task and a lease of a backend hold without being renewed. */
const leaseMs = 12_000;
const serverLimits = { requestTimeout: 300_000, headersTimeout: 30_000 };
/** After that, requests that are still being answered are cut. */
const closeMs = 5_000;

export interface GatewayConfig extends Config {
  readonly backends: readonly BackendEntry[];
}

/** The composition root: every part in the order of its construction, taken down in reverse. */
export class Gateway implements AsyncDisposable {
  /** Where it listens. */
  readonly url: string;
  readonly #parts: AsyncDisposableStack;

  private constructor(url: string, parts: AsyncDisposableStack) {
    this.url = url;
    this.#parts = parts;
  }

  /** Starts everything; when this returns, requests are answered. Nothing is left after a failure. */
  static async start(config: GatewayConfig, logger: Logger): Promise<Gateway> {
    await using parts = new AsyncDisposableStack();
    const folders = dataFolders(config.dataDir);
    const log = new TaskLog(logger);

    const database = parts.use(
      await connectDatabase(
        config.databaseUrl
          ? { engine: 'postgres', url: config.databaseUrl }
          : { engine: 'pglite', dataDir: folders.database },
      ),
    );
    const owner = randomUUID();
    const tasks = new TaskStore(database.orm);
    const claims = new ClaimStore(database.orm, { owner, leaseMs });
    const attempts = new AttemptStore(database.orm, owner);
    const stats = new QueueStats(database.orm);
    const backends = new BackendStore(database.orm, { owner, leaseMs });
    if (database.engine === 'pglite') await Promise.all([claims, backends].map(expireOthers));

    let url = '';
    const { store, objects } = await openStore(config, folders.objects, () => url, parts);
    const spool = parts.use(await Spool.open(folders.spool, lockFile, config.transfers.spoolBytes));
    const fetcher = parts.use(
      new SourceFetcher({ allow: config.sourceAllow, maxBytes: config.maxSourceBytes }),
    );
    const probe = new MediaProbe();

    const notices = new Notices();
    const lease = new LeaseClock(leaseMs);
    const pool = parts.use(new Pool(logger));
    const catalogue = () => pool.catalogue;
    const versions = new VersionStore(database.orm);
    const folder = new WorkflowFolder(config.workflowsDir);
    const workflows = parts.use(
      await WorkflowRegistry.open(
        { folder, versions: new WorkflowVersions(versions), catalogue, logger },
        await versions.queuedNames(),
      ),
    );
    const membership = new Membership({
      owner,
      store: backends,
      pool,
      lease,
      notices,
      entries: config.backends,
      workflows,
      log: new PoolLog(logger),
    });
    const poolService = new PoolService({ store: backends, pool, membership, workflows });
    const running = new RunningAttempts({
      workflows,
      fetcher,
      probe,
      spool,
      store,
      stats,
      lease,
      attempts,
      pool,
      wholePool: poolService,
      log,
      downloads: new PQueue({ concurrency: config.transfers.downloads }),
      uploads: new PQueue({ concurrency: config.transfers.uploads }),
      retryPolicy: { ...defaultRetryPolicy, maxAttempts: config.maxAttempts },
    });
    const dispatcher = new Dispatcher({
      claims,
      pool,
      wholePool: poolService,
      workflows,
      running,
      notices,
      log,
      patienceMs: config.warmPatienceMs,
      graceMs: config.shutdownGraceMs,
    });
    const recovery = new Recovery({
      claims,
      attempts,
      tasks,
      pool,
      running,
      dispatcher,
      lease,
      log,
    });
    const service = new TaskService({
      tasks,
      stats,
      store,
      workflows,
      pool: poolService,
      notices,
      timeouts: config.timeouts,
      checkSource: (source, field) => validateSourceUrl(source, config.sourceAllow, field),
      queueWhenUnavailable: config.queueWhenUnavailable,
      log,
    });
    const workflowService = new WorkflowService({
      registry: workflows,
      folder,
      catalogue,
      pool: poolService,
      stats,
    });
    const app = createApp({
      tasks: service,
      workflows: workflowService,
      registry: workflows,
      pool: poolService,
      objects,
      apiKeys: config.apiKeys,
      version: packageJson.version,
      logger,
    });

    pool.listen(dispatcher.wake, membership.changed, () => void workflows.reconvert());
    await notices.listen(database);
    // Leases are given up last: until then what runs is ours.
    parts.defer(() => membership.stop());
    await membership.start();
    parts.defer(() => recovery.stop());
    parts.defer(() => dispatcher.stop());
    parts.defer(() => recovery.stopSweeping());
    await recovery.renew();
    // What was left behind comes before what waits: its prompts are on the backends already.
    await recovery.sweep();
    recovery.start();
    dispatcher.start();
    // The last to start and the first to stop: nobody is answered by half a gateway.
    const server = createAdaptorServer({ fetch: app.fetch, serverOptions: serverLimits }) as Server;
    url = await listen(server, config.host, config.port);
    parts.defer(() => close(server));

    logger.info({ url, database: database.engine, backends: pool.labels }, 'gateway.started');
    return new Gateway(url, parts.move());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts.disposeAsync();
  }
}

async function expireOthers(store: { expireOthers(): Promise<void> }): Promise<void> {
  await store.expireOthers();
}

async function openStore(
  { storage, publicUrl }: Config,
  root: string,
  ownUrl: () => string,
  parts: AsyncDisposableStack,
): Promise<{ store: ObjectStore; objects: DiskStore | null }> {
  if (storage.driver === 'oss') return { store: parts.use(new OssStore(storage)), objects: null };
  const disk = await DiskStore.open({ root, baseUrl: () => publicUrl ?? ownUrl() });
  return { store: disk, objects: disk };
}

async function listen(server: Server, host: string, port: number): Promise<string> {
  server.listen(port, host);
  await once(server, 'listening');
  const address = server.address() as AddressInfo;
  const name = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return `http://${name}:${address.port}`;
}

async function close(server: Server): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  const cut = setTimeout(() => server.closeAllConnections(), closeMs);
  await closed;
  clearTimeout(cut);
}
