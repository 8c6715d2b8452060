import { removeOrphans } from '../tasks/result-orphans.ts';
import { Sweep } from '../tasks/sweep.ts';
import { AuditLog } from '../telemetry/audit-log.ts';
import { ResultLog } from '../telemetry/result-log.ts';
import type { Frame } from './frame.ts';
import type { Services } from './services.ts';
import type { Stores } from './stores.ts';

/** What nobody needs any more goes, now and then. */
export function startSweeps(
  { config, tempo, logger, log, parts }: Frame,
  stores: Stores,
  { uploads, results }: Services,
): void {
  const { sweepEveryMs, orphansEveryMs } = tempo.results;
  const orphans = {
    results: stores.results,
    store: stores.objects,
    log: new ResultLog(logger),
    tempo: tempo.results,
  };
  const { eventRetentionMs } = config;
  // What operators did is kept as long as what happened to tasks.
  const auditLog = new AuditLog(logger);
  const { sweepEveryMs: everyMs } = tempo.events;
  const removeEvents = async () => {
    await removeOld(stores.events, eventRetentionMs, (error) => log.eventSweepFailed(error));
  };
  const removeRecords = async () => {
    await removeOld(stores.audit, eventRetentionMs, (error) => auditLog.sweepFailed(error));
  };
  const { recordRetentionMs } = config;
  const removeTasks = async () => {
    const count = await removeOld(stores.records, recordRetentionMs, (error) =>
      log.recordSweepFailed(error),
    );
    if (count > 0) log.recordsRemoved(count);
  };
  const ofEvents = [
    { everyMs, look: removeTasks },
    { everyMs, look: removeEvents },
    { everyMs, look: removeRecords },
  ];
  const ofUploads = [{ everyMs: tempo.uploads.sweepEveryMs, look: () => uploads.sweep() }];
  const ofResults = [
    { everyMs: sweepEveryMs, look: (signal: AbortSignal) => results.sweep(signal) },
    { everyMs: orphansEveryMs, look: (signal: AbortSignal) => removeOrphans(orphans, signal) },
  ];
  parts.use(new Sweep(ofUploads)).start();
  parts.use(new Sweep(ofEvents)).start();
  parts.use(new Sweep(ofResults)).start();
}

/** What fails is left to the next time. */
async function removeOld(
  store: { removeOld(ms: number): Promise<number> },
  retentionMs: number | null,
  onError: (error: unknown) => void,
): Promise<number> {
  if (retentionMs === null) return 0;
  return await store.removeOld(retentionMs).catch((error) => {
    onError(error);
    return 0;
  });
}
