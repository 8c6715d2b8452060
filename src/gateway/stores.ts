import { AuditStore } from '../audit/audit-store.ts';
import { dataFolders } from '../config/config.ts';
import { connectDatabase, type Database } from '../db/connect.ts';
import { EditionWatch } from '../db/edition-watch.ts';
import { lockFile } from '../db/file-lock.ts';
import { Notices } from '../db/notices.ts';
import { KeyStore } from '../keys/key-store.ts';
import { Spool } from '../media/spool.ts';
import { BackendStore } from '../pool/backend-store.ts';
import { openStore } from '../storage/drivers.ts';
import type { ObjectStore, OwnSources } from '../storage/object-store.ts';
import { AttemptStore } from '../tasks/attempt-store.ts';
import { ClaimStore } from '../tasks/claim-store.ts';
import { Door } from '../tasks/door.ts';
import { EventFeed } from '../tasks/event-feed.ts';
import { EventStore } from '../tasks/event-store.ts';
import { HeldSourceStore } from '../tasks/held-source-store.ts';
import { PauseStore } from '../tasks/pause-store.ts';
import { QueueStats } from '../tasks/queue-stats.ts';
import { RecordStore } from '../tasks/record-store.ts';
import { ResultStore } from '../tasks/result-store.ts';
import { TaskStore } from '../tasks/task-store.ts';
import { TwinStore } from '../tasks/twin-store.ts';
import { UploadStore } from '../tasks/upload-store.ts';
import { UsageStore } from '../tasks/usage-store.ts';
import { VersionStore } from '../workflows/version-store.ts';
import { databaseOf } from './database.ts';
import type { Frame } from './frame.ts';

/** What outlives the process, and the spool. */
export interface Stores {
  readonly database: Database;
  /** Resolves when a newer gateway has changed the database. */
  readonly outdated: Promise<void>;
  /** What gateways tell each other over the database. */
  readonly notices: Notices;
  readonly events: EventStore;
  readonly audit: AuditStore;
  readonly keys: KeyStore;
  readonly feed: EventFeed;
  readonly tasks: TaskStore;
  readonly claims: ClaimStore;
  readonly attempts: AttemptStore;
  readonly twins: TwinStore;
  readonly stats: QueueStats;
  readonly usage: UsageStore;
  readonly pauses: PauseStore;
  readonly backends: BackendStore;
  readonly uploads: UploadStore;
  readonly heldSources: HeldSourceStore;
  readonly results: ResultStore;
  readonly records: RecordStore;
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
  isOurs,
  log,
  parts,
}: Frame): Promise<Stores> {
  const folders = dataFolders(config.dataDir);
  const database = parts.use(await connectDatabase(databaseOf(config), tempo.database, logger));
  const { outdated } = parts.use(new EditionWatch(database, tempo.database));
  const { orm } = database;
  const leaseMs = tempo.lease.holdsMs;
  const { forgottenAfterMs } = tempo.membership;
  const notices = new Notices(orm, owner, tempo.database);
  parts.defer(() => notices.settled());
  const events = new EventStore(orm);
  const feed = parts.use(new EventFeed(events, notices, tempo));
  feed.on('happened', (happening) => log.observe(happening));
  const door = new Door(orm, owner, feed.tell);
  const claims = new ClaimStore(door, { leaseMs, runningAtMost: config.quotas.running });
  const attempts = new AttemptStore(door);
  const backends = new BackendStore(orm, { owner, leaseMs, forgottenAfterMs });
  // Nobody else has this database open: leases of others are those of gateways that died.
  if (database.engine === 'pglite') await Promise.all([claims, backends].map(expireOthers));
  const { store: objects, ownSources } = await openStore(config.storage, {
    folder: folders.objects,
    publicUrl: config.publicUrl,
    isOurs,
    tempo: tempo.store,
    parts,
  });
  const { spoolBytes } = config.transfers;
  return {
    database,
    outdated,
    notices,
    events,
    audit: new AuditStore(orm, owner),
    keys: new KeyStore(orm, owner),
    feed,
    tasks: new TaskStore(door),
    claims,
    attempts,
    twins: new TwinStore(door, attempts),
    stats: new QueueStats(orm, tempo.tasks),
    usage: new UsageStore(orm),
    pauses: new PauseStore(orm, owner),
    backends,
    uploads: new UploadStore(orm),
    heldSources: new HeldSourceStore(orm, owner),
    results: new ResultStore(database, config.retention, tempo.results),
    records: new RecordStore(orm),
    versions: new VersionStore(orm),
    objects,
    ownSources,
    spool: parts.use(await Spool.open(folders.spool, lockFile, spoolBytes, tempo.spool)),
  };
}

async function expireOthers(store: { expireOthers(): Promise<void> }): Promise<void> {
  await store.expireOthers();
}
