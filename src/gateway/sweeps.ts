import { removeOrphans } from '../tasks/result-orphans.ts';
import { Sweep } from '../tasks/sweep.ts';
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
  const ofEvents = {
    everyMs: tempo.events.sweepEveryMs,
    look: () => removeOldEvents(stores.events, eventRetentionMs, log),
  };
  const ofUploads = [{ everyMs: tempo.uploads.sweepEveryMs, look: () => uploads.sweep() }];
  const ofResults = [
    { everyMs: sweepEveryMs, look: (signal: AbortSignal) => results.sweep(signal) },
    { everyMs: orphansEveryMs, look: (signal: AbortSignal) => removeOrphans(orphans, signal) },
  ];
  parts.use(new Sweep(ofUploads)).start();
  parts.use(new Sweep([ofEvents])).start();
  parts.use(new Sweep(ofResults)).start();
}

/** What fails is left to the next time. */
async function removeOldEvents(
  events: Stores['events'],
  retentionMs: number | null,
  log: Frame['log'],
): Promise<void> {
  if (retentionMs === null) return;
  await events.removeOld(retentionMs).catch((error) => log.eventSweepFailed(error));
}
