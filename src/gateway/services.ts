import type { Audit } from '../audit/audit.ts';
import { KeyService } from '../keys/key-service.ts';
import type { Keyring } from '../keys/keyring.ts';
import { validateTargetUrl } from '../media/target-url.ts';
import { PauseService } from '../tasks/pause-service.ts';
import { QuotaStore } from '../tasks/quota-store.ts';
import { ResultService } from '../tasks/result-service.ts';
import { TaskQuotas } from '../tasks/task-quotas.ts';
import { TaskService } from '../tasks/task-service.ts';
import { UploadRelease } from '../tasks/upload-release.ts';
import { UploadService } from '../tasks/upload-service.ts';
import { UsageService } from '../tasks/usage-service.ts';
import { ResultLog } from '../telemetry/result-log.ts';
import { UploadLog } from '../telemetry/upload-log.ts';
import { WorkflowService } from '../workflows/workflow-service.ts';
import type { Frame } from './frame.ts';
import type { Media } from './media.ts';
import type { OpenPool } from './pool.ts';
import type { Stores } from './stores.ts';

/** What dialects call. */
export interface Services {
  readonly tasks: TaskService;
  readonly quotas: TaskQuotas;
  readonly uploads: UploadService;
  readonly results: ResultService;
  readonly workflows: WorkflowService;
  readonly audit: Audit;
  readonly usage: UsageService;
  readonly pauses: PauseService;
  readonly keys: KeyService;
}

export function createServices(
  { config, tempo, logger, parts }: Frame,
  stores: Stores,
  { sourceReader, intake }: Media,
  { wholePool, folder, workflows, catalogue }: OpenPool,
  audit: Audit,
  keyring: Keyring,
): Services {
  const { stats } = stores;
  const { countsHoldMs } = tempo.tasks;
  const quotas = new TaskQuotas(config.quotas, new QuotaStore(stores.database.orm), countsHoldMs);
  const uploads = new UploadService({
    uploads: stores.uploads,
    store: stores.objects,
    intake,
    quotas,
    maxBytes: config.maxSourceBytes,
    log: new UploadLog(logger),
    tempo: tempo.uploads,
  });
  const release = parts.use(new UploadRelease(uploads));
  stores.feed.on('happened', release.hear);
  return {
    uploads,
    quotas,
    audit,
    usage: new UsageService(stores.usage),
    pauses: new PauseService({
      pauses: stores.pauses,
      stats,
      workflows,
      audit,
      notices: stores.notices,
    }),
    keys: new KeyService({ store: stores.keys, audit, changed: keyring.outdate }),
    tasks: new TaskService({
      tasks: stores.tasks,
      stats,
      pauses: stores.pauses,
      store: stores.objects,
      workflows,
      pool: wholePool,
      feed: stores.feed,
      timeouts: config.timeouts,
      checkSource: (source, field) => sourceReader.check(source, field),
      checkTarget: (target) => validateTargetUrl(target, config.targetAllow),
      uploads,
      quotas,
      queueWhenUnavailable: config.queueWhenUnavailable,
    }),
    results: new ResultService({
      results: stores.results,
      store: stores.objects,
      log: new ResultLog(logger),
      audit,
      tempo: tempo.results,
    }),
    workflows: new WorkflowService({
      registry: workflows,
      folder,
      catalogue,
      pool: wholePool,
      stats,
      audit,
    }),
  };
}
