import PQueue from 'p-queue';
import { Dispatcher } from '../pipeline/dispatcher.ts';
import { FairTurns } from '../pipeline/fair-turns.ts';
import { Recovery } from '../pipeline/recovery.ts';
import { RunningAttempts } from '../pipeline/running-attempts.ts';
import { FetchAhead } from '../pipeline/sources/fetch-ahead.ts';
import { KeptSources } from '../pipeline/sources/kept-sources.ts';
import { SourceCopies } from '../pipeline/sources/source-copies.ts';
import { TransferTurns } from '../pipeline/transfer-turns.ts';
import { Sweep } from '../tasks/sweep.ts';
import { SourceLog } from '../telemetry/source-log.ts';
import type { Frame } from './frame.ts';
import type { Media } from './media.ts';
import type { OpenPool } from './pool.ts';
import type { Stores } from './stores.ts';

/** What runs tasks. */
export interface Pipeline {
  readonly dispatcher: Dispatcher;
  readonly recovery: Recovery;
  readonly sources: KeptSources;
  readonly ahead: FetchAhead;
}

export function createPipeline(
  { config, tempo, logger, log, parts }: Frame,
  { objects, spool, notices, feed, tasks, claims, attempts, twins, stats, heldSources }: Stores,
  { sourceReader, probe, encoder, targetAt }: Media,
  { pool, wholePool, lease, workflows }: OpenPool,
): Pipeline {
  const sourceLog = new SourceLog(logger);
  const copies = new SourceCopies({
    held: heldSources,
    objects,
    notices,
    puts: new PQueue({ concurrency: config.transfers.uploads }),
    log: sourceLog,
    tempo: tempo.sources,
  });
  const sources = parts.use(
    new KeptSources({ spool, held: heldSources, copies, sourceReader, log: sourceLog }),
  );
  feed.on('happened', sources.hear);
  notices.on('canceled', sources.ended);
  notices.on('wanted', sources.wanted);
  const { downloads: places, spoolBytes } = config.transfers;
  const downloads = new FairTurns(places);
  const ahead = new FetchAhead({
    sources,
    held: heldSources,
    claims,
    workflows,
    wholePool,
    notices,
    spool,
    sourceReader,
    probe,
    downloads,
    mostAtOnce: Math.max(1, Math.floor(places / 2)),
    limitBytes: spoolBytes / 2,
    wantsSha256: config.coalesces,
    log: sourceLog,
    tempo: tempo.sources,
  });
  feed.on('happened', ahead.hear);
  const running = new RunningAttempts({
    workflows,
    sourceReader,
    sources,
    probe,
    encoder,
    thumbnails: config.thumbnails,
    coalesces: config.coalesces,
    spool,
    store: objects,
    targetAt,
    stats,
    lease,
    attempts,
    twins,
    pool,
    wholePool,
    log,
    downloads,
    uploads: new TransferTurns(config.transfers.uploads, tempo.transfer),
    maxOutputs: config.maxOutputs,
    retryPolicy: { maxAttempts: config.maxAttempts, tempo: tempo.retry },
    tempo,
  });
  const dispatcher = new Dispatcher({
    claims,
    stats,
    pool,
    wholePool,
    workflows,
    running,
    notices,
    log,
    patienceMs: config.warmPatienceMs,
    downloads: config.transfers.downloads,
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
  return { dispatcher, recovery, sources, ahead };
}

/** From here on the gateway has backends and works. */
export async function startPipeline(
  { config, tempo, parts }: Frame,
  { database, notices, feed }: Stores,
  { pool, membership, workflows }: OpenPool,
  { dispatcher, recovery, sources, ahead }: Pipeline,
): Promise<void> {
  pool.listen({
    onRoom: dispatcher.wake,
    onChanged: membership.changed,
    onNodes: () => void workflows.reconvert(),
  });
  await notices.listen(database);
  feed.start();
  await sources.adopt();
  const { sweepEveryMs } = tempo.sources;
  parts.use(new Sweep([{ everyMs: sweepEveryMs, look: () => sources.sweep() }])).start();
  // These go in reverse: nothing more is picked up, what runs is let go, then claims, then leases.
  // Leases are given up last: until then what runs is ours. A start that fails gives them up, too.
  parts.defer(() => membership.stop());
  await membership.start();
  parts.defer(() => recovery.stop());
  parts.defer(async () => {
    // Nobody else can ever open an embedded database: its disk comes with it.
    const isShared = database.engine === 'postgres';
    const { shutdownGraceMs } = config;
    await Promise.all([
      ahead.stop(shutdownGraceMs),
      dispatcher.stop(),
      sources.finish(shutdownGraceMs, isShared),
    ]);
  });
  parts.defer(() => recovery.stopSweeping());
  await recovery.renew();
  // What was left behind comes before what waits: its prompts are on the backends already.
  await recovery.sweep();
  recovery.start();
  dispatcher.start();
  ahead.start();
}
