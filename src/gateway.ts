import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createAdaptorServer } from '@hono/node-server';
import PQueue from 'p-queue';
import packageJson from '../package.json' with { type: 'json' };
import { Pool } from './comfyui/pool.ts';
import { type Config, dataFolders } from './config/config.ts';
import { connectDatabase } from './db/connect.ts';
import { lockFile } from './db/file-lock.ts';
import { createApp } from './http/app.ts';
import { SourceFetcher } from './media/fetch-source.ts';
import { MediaProbe } from './media/probe.ts';
import { validateSourceUrl } from './media/source-url.ts';
import { Spool } from './media/spool.ts';
import { Dispatcher } from './pipeline/dispatcher.ts';
import { leaseMs, Recovery } from './pipeline/recovery.ts';
import { DiskStore } from './storage/disk-store.ts';
import type { ObjectStore } from './storage/object-store.ts';
import { OssStore } from './storage/oss-store.ts';
import { ClaimStore } from './tasks/claim-store.ts';
import { TaskEvents } from './tasks/task-events.ts';
import { TaskService } from './tasks/task-service.ts';
import { TaskStore } from './tasks/task-store.ts';
import type { Logger } from './telemetry/logger.ts';
import { TaskLog } from './telemetry/task-log.ts';
import { WorkflowRegistry } from './workflows/registry.ts';

/** How many transfers of a kind run at once. */
const downloadsAtOnce = 8;
const uploadsAtOnce = 4;
const serverLimits = { requestTimeout: 300_000, headersTimeout: 30_000 };
/** After that, requests that are still being answered are cut. */
const closeMs = 5_000;

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
  static async start(config: Config, logger: Logger): Promise<Gateway> {
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
    const tasks = new TaskStore(database.orm);
    const claims = new ClaimStore(database.orm, { owner: randomUUID(), leaseMs });
    if (database.engine === 'pglite') await claims.expireOthers();

    let url = '';
    const { store, objects } = await openStore(config, folders.objects, () => url, parts);
    const workflows = parts.use(await WorkflowRegistry.open(config.workflowsDir, logger));
    const spool = parts.use(await Spool.open(folders.spool, lockFile));
    const fetcher = parts.use(
      new SourceFetcher({ allow: config.sourceAllow, maxBytes: config.maxSourceBytes }),
    );
    const probe = new MediaProbe();
    const pool = parts.use(new Pool(config.backends, logger));

    const events = new TaskEvents();
    const downloads = new PQueue({ concurrency: downloadsAtOnce });
    const uploads = new PQueue({ concurrency: uploadsAtOnce });
    const attemptParts = { workflows, fetcher, probe, spool, store, downloads, uploads };
    const dispatcher = new Dispatcher({ ...attemptParts, claims, pool, events, log });
    const recovery = new Recovery({ claims, tasks, pool, dispatcher, log });
    const service = new TaskService({
      tasks,
      store,
      workflows,
      checkSource: (source) => validateSourceUrl(source, config.sourceAllow),
      log,
    });
    const app = createApp({
      tasks: service,
      workflows,
      pool,
      objects,
      version: packageJson.version,
      logger,
    });

    await events.listen(database);
    parts.defer(() => dispatcher.stop());
    // What was left behind comes before what waits: its prompts are on the backends already.
    await recovery.sweep();
    dispatcher.start();
    recovery.start();
    parts.defer(() => recovery.stop());
    // The last to start and the first to stop: nobody is answered by half a gateway.
    const server = createAdaptorServer({ fetch: app.fetch, serverOptions: serverLimits }) as Server;
    url = await listen(server, config.host, config.port);
    parts.defer(() => close(server));

    logger.info({ url, database: database.engine, backends: pool.ids }, 'gateway.started');
    return new Gateway(url, parts.move());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts.disposeAsync();
  }
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
