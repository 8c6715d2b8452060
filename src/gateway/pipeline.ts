import { Dispatcher } from '../pipeline/dispatcher.ts';
import { FairTurns } from '../pipeline/fair-turns.ts';
import { Recovery } from '../pipeline/recovery.ts';
import { RunningAttempts } from '../pipeline/running-attempts.ts';
import { TransferTurns } from '../pipeline/transfer-turns.ts';
import type { Frame } from './frame.ts';
import type { Media } from './media.ts';
import type { OpenPool } from './pool.ts';
import type { Stores } from './stores.ts';

/** What runs tasks. */
export interface Pipeline {
  readonly dispatcher: Dispatcher;
  readonly recovery: Recovery;
}

export function createPipeline(
  { config, tempo, log }: Frame,
  { objects, spool, notices, tasks, claims, attempts, twins, stats }: Stores,
  { sourceReader, probe, encoder, targetAt }: Media,
  { pool, wholePool, lease, workflows }: OpenPool,
): Pipeline {
  const running = new RunningAttempts({
    workflows,
    sourceReader,
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
    downloads: new FairTurns(config.transfers.downloads),
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
  return { dispatcher, recovery };
}

/** From here on the gateway has backends and works. */
export async function startPipeline(
  { parts }: Frame,
  { database, notices, feed }: Stores,
  { pool, membership, workflows }: OpenPool,
  { dispatcher, recovery }: Pipeline,
): Promise<void> {
  pool.listen({
    onRoom: dispatcher.wake,
    onChanged: membership.changed,
    onNodes: () => void workflows.reconvert(),
  });
  await notices.listen(database);
  feed.start();
  // These go in reverse: nothing more is picked up, what runs is let go, then claims, then leases.
  // Leases are given up last: until then what runs is ours. A start that fails gives them up, too.
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
}
