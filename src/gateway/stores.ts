import { type Config, dataFolders } from '../config/config.ts';
import { connectDatabase, type Database, type DatabaseOptions } from '../db/connect.ts';
import { EditionWatch } from '../db/edition-watch.ts';
import { lockFile } from '../db/file-lock.ts';
import { Spool } from '../media/spool.ts';
import { BackendStore } from '../pool/backend-store.ts';
import { openStore } from '../storage/drivers.ts';
import type { ObjectStore, OwnSources } from '../storage/object-store.ts';
import { AttemptStore } from '../tasks/attempt-store.ts';
import { ClaimStore } from '../tasks/claim-store.ts';
import { QueueStats } from '../tasks/queue-stats.ts';
import { ResultStore } from '../tasks/result-store.ts';
import { TaskStore } from '../tasks/task-store.ts';
import { UploadStore } from '../tasks/upload-store.ts';
import { VersionStore } from '../workflows/version-store.ts';
import type { Frame } from './frame.ts';

/** What outlives the process, and the spool. */
export interface Stores {
  readonly database: Database;
  /** Resolves when a newer gateway has changed the database. */
  readonly outdated: Promise<void>;
  readonly tasks: TaskStore;
  readonly claims: ClaimStore;
  readonly attempts: AttemptStore;
  readonly stats: QueueStats;
  readonly backends: BackendStore;
  readonly uploads: UploadStore;
  readonly results: ResultStore;
  readonly versions: VersionStore;
  readonly objects: ObjectStore;
  readonly ownSources: OwnSources;
  readonly spool: Spool;
}

/** The database is closed last of all, because everything is written there to its end. */
export async function openStores({
  config,
  tempo,
  logger,
  owner,
  baseUrl,
  parts,
}: Frame): Promise<Stores> {
  const folders = dataFolders(config.dataDir);
  const database = parts.use(
    await connectDatabase(databaseOf(config, folders.database), tempo.database, logger),
  );
  const { outdated } = parts.use(new EditionWatch(database, tempo.database));
  const { orm } = database;
  const leaseMs = tempo.lease.holdsMs;
  const { forgottenAfterMs } = tempo.membership;
  const claims = new ClaimStore(orm, { owner, leaseMs });
  const backends = new BackendStore(orm, { owner, leaseMs, forgottenAfterMs });
  // Nobody else has this database open: leases of others are those of gateways that died.
  if (database.engine === 'pglite') await Promise.all([claims, backends].map(expireOthers));
  const { store: objects, ownSources } = await openStore(config.storage, {
    folder: folders.objects,
    baseUrl,
    tempo: tempo.store,
    parts,
  });
  const { spoolBytes } = config.transfers;
  return {
    database,
    outdated,
    tasks: new TaskStore(orm),
    claims,
    attempts: new AttemptStore(orm, owner, tempo.twins),
    stats: new QueueStats(orm, tempo.tasks),
    backends,
    uploads: new UploadStore(orm),
    results: new ResultStore(database, config.retention, tempo.results),
    versions: new VersionStore(orm),
    objects,
    ownSources,
    spool: parts.use(await Spool.open(folders.spool, lockFile, spoolBytes, tempo.spool)),
  };
}

function databaseOf({ databaseUrl, databasePoolSize }: Config, dataDir: string): DatabaseOptions {
  return databaseUrl
    ? { engine: 'postgres', url: databaseUrl, poolSize: databasePoolSize }
    : { engine: 'pglite', dataDir };
}

async function expireOthers(store: { expireOthers(): Promise<void> }): Promise<void> {
  await store.expireOthers();
}
