import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { availableParallelism } from 'node:os';
import PQueue from 'p-queue';
import packageJson from '../package.json' with { type: 'json' };
import type { BackendEntry } from './comfyui/address.ts';
import { type Config, ConfigError, dataFolders } from './config/config.ts';
import { checkTempo, realTempo, type Tempo } from './core/tempo.ts';
import { connectDatabase } from './db/connect.ts';
import { EditionWatch } from './db/edition-watch.ts';
import { lockFile } from './db/file-lock.ts';
import { Notices } from './db/notices.ts';
import { type App, createApps } from './http/app.ts';
import { type AppServer, createServer } from './http/server.ts';
import { SourceFetcher } from './media/fetch-source.ts';
import { createGuardedAgent } from './media/guarded-agent.ts';
import { ImageEncoder } from './media/image-encoder.ts';
import { MediaProbe } from './media/probe.ts';
import { validateSourceUrl } from './media/source-url.ts';
import { Spool } from './media/spool.ts';
import { validateTargetUrl } from './media/target-url.ts';
import { UploadIntake } from './media/upload-intake.ts';
import { Dispatcher } from './pipeline/dispatcher.ts';
import { Recovery } from './pipeline/recovery.ts';
import { RunningAttempts } from './pipeline/running-attempts.ts';
import { SourceReader } from './pipeline/source-reader.ts';
import { BackendStore } from './pool/backend-store.ts';
import { LeaseClock } from './pool/lease-clock.ts';
import { Membership } from './pool/membership.ts';
import { Pool } from './pool/pool.ts';
import { PoolService } from './pool/pool-service.ts';
import { bucketSchemes, openStore } from './storage/drivers.ts';
import { PutTarget } from './storage/put-target.ts';
import { AttemptStore } from './tasks/attempt-store.ts';
import { ClaimStore } from './tasks/claim-store.ts';
import { QueueStats } from './tasks/queue-stats.ts';
import { removeOrphans } from './tasks/result-orphans.ts';
import { ResultService } from './tasks/result-service.ts';
import { ResultStore } from './tasks/result-store.ts';
import { Sweep } from './tasks/sweep.ts';
import { TaskService } from './tasks/task-service.ts';
import { TaskStore } from './tasks/task-store.ts';
import { UploadService } from './tasks/upload-service.ts';
import { UploadStore } from './tasks/upload-store.ts';
import type { Logger } from './telemetry/logger.ts';
import { PoolLog } from './telemetry/pool-log.ts';
import { ResultLog } from './telemetry/result-log.ts';
import { TaskLog } from './telemetry/task-log.ts';
import { TaskObservers } from './telemetry/task-observer.ts';
import { UploadLog } from './telemetry/upload-log.ts';
import { WorkflowFolder } from './workflows/folder.ts';
import { WorkflowRegistry } from './workflows/registry.ts';
import { VersionStore } from './workflows/version-store.ts';
import { WorkflowVersions } from './workflows/versions.ts';
import { WorkflowService } from './workflows/workflow-service.ts';

export interface GatewayConfig extends Config {
  readonly backends: readonly BackendEntry[];
}

export interface GatewayOptions {
  /** How long the gateway waits for whatever it waits for; tests are in a hurry. */
  readonly tempo?: Tempo;
}

/** The composition root: every part in the order of its construction, taken down in reverse. */
export class Gateway implements AsyncDisposable {
  /** Where it listens. */
  readonly url: string;
  /** Where dialects listen that have a port of their own. */
  readonly dialectUrls: ReadonlyMap<string, string>;
  /** Resolves when a newer gateway has changed the database: this one is to end its work and stop. */
  readonly outdated: Promise<void>;
  readonly #parts: AsyncDisposableStack;

  private constructor(
    url: string,
    dialectUrls: ReadonlyMap<string, string>,
    outdated: Promise<void>,
    parts: AsyncDisposableStack,
  ) {
    this.url = url;
    this.outdated = outdated;
    this.dialectUrls = dialectUrls;
    this.#parts = parts;
  }

  /** Starts everything; when this returns, requests are answered. Nothing is left after a failure. */
  static async start(
    config: GatewayConfig,
    logger: Logger,
    { tempo = realTempo }: GatewayOptions = {},
  ): Promise<Gateway> {
    checkTempo(tempo);
    await using parts = new AsyncDisposableStack();
    const folders = dataFolders(config.dataDir);
    const observers = new TaskObservers();
    const log = new TaskLog(logger, observers);

    const database = parts.use(
      await connectDatabase(
        config.databaseUrl
          ? { engine: 'postgres', url: config.databaseUrl, poolSize: config.databasePoolSize }
          : { engine: 'pglite', dataDir: folders.database },
        tempo.database,
        logger,
      ),
    );
    const { outdated } = parts.use(new EditionWatch(database, tempo.database));
    const owner = randomUUID();
    const { holdsMs: leaseMs } = tempo.lease;
    const { forgottenAfterMs } = tempo.membership;
    const tasks = new TaskStore(database.orm);
    const claims = new ClaimStore(database.orm, { owner, leaseMs });
    const attempts = new AttemptStore(database.orm, owner, tempo.twins);
    const stats = new QueueStats(database.orm, tempo.tasks);
    const backends = new BackendStore(database.orm, { owner, leaseMs, forgottenAfterMs });
    if (database.engine === 'pglite') await Promise.all([claims, backends].map(expireOthers));

    let url = '';
    const baseUrl = () => config.publicUrl ?? url;
    const { store, ownSources } = await openStore(config.storage, {
      folder: folders.objects,
      baseUrl,
      tempo: tempo.store,
      parts,
    });
    const sourceLimits = {
      maxBytes: config.maxSourceBytes,
      maxImageBytes: config.maxImageBytes,
      maxVideoBytes: config.maxVideoBytes,
    };
    const spool = parts.use(
      await Spool.open(folders.spool, lockFile, config.transfers.spoolBytes, tempo.spool),
    );
    const fetcher = parts.use(
      new SourceFetcher({
        allow: config.sourceAllow,
        userAgent: config.sourceUserAgent,
        deadlines: tempo.source,
        ...sourceLimits,
      }),
    );
    const sourceReader = new SourceReader({
      fetcher,
      store,
      ownSources,
      bucketSchemes,
      limits: sourceLimits,
      validateUrl: (source, field) => validateSourceUrl(source, config.sourceAllow, field),
      tempo: tempo.source,
    });
    const uploads = new UploadService({
      uploads: new UploadStore(database.orm),
      store,
      intake: new UploadIntake(spool, sourceLimits, tempo.spool),
      maxBytes: config.maxSourceBytes,
      log: new UploadLog(logger),
      tempo: tempo.uploads,
    });
    const resultLog = new ResultLog(logger);
    const resultStore = new ResultStore(database, config.retention, tempo.results);
    const results = new ResultService({
      results: resultStore,
      store,
      log: resultLog,
      tempo: tempo.results,
    });
    const removeNobodys = async (signal: AbortSignal): Promise<void> => {
      const parts = { results: resultStore, log: resultLog, tempo: tempo.results };
      await removeOrphans({ ...parts, store }, signal);
    };
    const targetAgent = parts.adopt(
      createGuardedAgent({
        allow: config.targetAllow,
        ...tempo.target,
        // The whole exchange has a deadline of its own, by the size of the result.
        headersDeadlineMs: 0,
      }),
      (agent) => agent.destroy(),
    );
    const probe = new MediaProbe({ limits: config.limits, ...tempo.media });
    const encoder = new ImageEncoder(encodingsAtOnce(), tempo.media);

    const notices = new Notices();
    const lease = new LeaseClock(leaseMs);
    const pool = parts.use(new Pool(logger, tempo));
    const catalogue = () => pool.catalogue;
    const folder = new WorkflowFolder(config.workflowsDir);
    const workflows = parts.use(
      await WorkflowRegistry.open({
        folder,
        versions: new WorkflowVersions(new VersionStore(database.orm)),
        catalogue,
        logger,
        tempo: tempo.workflows,
      }),
    );
    const membership = new Membership({
      owner,
      store: backends,
      pool,
      lease,
      notices,
      entries: config.backends,
      inputDirs: config.inputDirs,
      workflows,
      log: new PoolLog(logger),
      tempo,
    });
    const poolService = new PoolService({ store: backends, pool, membership, workflows });
    const running = new RunningAttempts({
      workflows,
      sourceReader,
      uploadService: uploads,
      probe,
      encoder,
      thumbnails: config.thumbnails,
      coalesces: config.coalesces,
      spool,
      store,
      targetAt: (target) => new PutTarget(target, targetAgent, tempo.target),
      stats,
      lease,
      attempts,
      pool,
      wholePool: poolService,
      log,
      downloads: new PQueue({ concurrency: config.transfers.downloads }),
      uploads: new PQueue({ concurrency: config.transfers.uploads }),
      retryPolicy: { maxAttempts: config.maxAttempts, tempo: tempo.retry },
      tempo,
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
      tempo: tempo.dispatcher,
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
      tempo,
    });
    const service = new TaskService({
      tasks,
      stats,
      store,
      workflows,
      pool: poolService,
      notices,
      timeouts: config.timeouts,
      checkSource: (source, field) => sourceReader.check(source, field),
      checkTarget: (target) => validateTargetUrl(target, config.targetAllow),
      uploads,
      queueWhenUnavailable: config.queueWhenUnavailable,
      log,
      tempo: tempo.tasks,
    });
    const workflowService = new WorkflowService({
      registry: workflows,
      folder,
      catalogue,
      pool: poolService,
      stats,
    });
    const stopping = new AbortController();
    const apps = createApps(
      {
        tasks: service,
        results,
        workflows: workflowService,
        registry: workflows,
        pool: poolService,
        uploads,
        objects: store.isServedByGateway ? store : null,
        preview: (path, signal) => encoder.preview(path, config.limits.maxImagePixels, signal),
        baseUrl,
        isGuarded: config.apiKeys.length > 0,
        version: packageJson.version,
        stopping: stopping.signal,
        tempo: tempo.http,
      },
      {
        apiKeys: config.apiKeys,
        corsOrigins: config.corsOrigins,
        settings: config.dialectSettings,
        logger,
      },
    );
    for (const observer of apps.observers) observers.add(observer);

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
    const { sweepEveryMs, orphansEveryMs } = tempo.results;
    parts
      .use(new Sweep([{ everyMs: tempo.uploads.sweepEveryMs, look: () => uploads.sweep() }]))
      .start();
    parts
      .use(
        new Sweep([
          { everyMs: sweepEveryMs, look: (signal) => results.sweep(signal) },
          { everyMs: orphansEveryMs, look: removeNobodys },
        ]),
      )
      .start();
    // The last to start and the first to stop: nobody is answered by half a gateway.
    const serverLimits = {
      requestTimeout: tempo.http.requestDeadlineMs,
      headersTimeout: tempo.http.headersDeadlineMs,
    };
    const serve = async (app: App, port: number): Promise<string> => {
      const server = createServer(app, serverLimits, logger);
      const address = await listen(server.server, config.host, port);
      parts.defer(() => close(server, tempo.http.closeDeadlineMs));
      return address;
    };
    url = await serve(apps.root, config.port);
    const dialectUrls = new Map<string, string>();
    for (const [dialect, port] of config.dialectPorts) {
      const app = apps.byDialect.get(dialect);
      if (!app) {
        const known = [...apps.byDialect.keys()].join(', ');
        throw new ConfigError([`DIALECT_PORTS there is no dialect ${dialect}; known: ${known}`]);
      }
      dialectUrls.set(dialect, await serve(app, port));
    }
    parts.defer(() => stopping.abort());

    logger.info(
      {
        url,
        dialects: Object.fromEntries(dialectUrls),
        database: database.engine,
        backends: pool.labels,
      },
      'gateway.started',
    );
    return new Gateway(url, dialectUrls, outdated, parts.move());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts.disposeAsync();
  }
}

/** Each takes one of the four threads that files are read and written with, too. */
function encodingsAtOnce(): number {
  return Math.min(availableParallelism(), 3);
}

async function expireOthers(store: { expireOthers(): Promise<void> }): Promise<void> {
  await store.expireOthers();
}

async function listen(server: Server, host: string, port: number): Promise<string> {
  server.listen(port, host);
  await once(server, 'listening');
  const address = server.address() as AddressInfo;
  const name = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return `http://${name}:${address.port}`;
}

/** Requests that are still being answered after the deadline are cut. */
async function close({ server, cut }: AppServer, deadlineMs: number): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  const patience = setTimeout(cut, deadlineMs);
  await closed;
  clearTimeout(patience);
}
