import type { Audit } from '../audit/audit.ts';
import type { NodeCatalogue } from '../core/node-catalogue.ts';
import { LeaseClock } from '../pool/lease-clock.ts';
import { Membership } from '../pool/membership.ts';
import { Pool } from '../pool/pool.ts';
import { PoolService } from '../pool/pool-service.ts';
import { WholePool } from '../pool/whole-pool.ts';
import { PoolLog } from '../telemetry/pool-log.ts';
import { WorkflowFolder } from '../workflows/folder.ts';
import { WorkflowRegistry } from '../workflows/registry.ts';
import { WorkflowVersions } from '../workflows/versions.ts';
import type { Frame } from './frame.ts';
import type { Stores } from './stores.ts';

/** The backends and what they run. */
export interface OpenPool {
  readonly pool: Pool;
  /** With the backends of other gateways. */
  readonly wholePool: WholePool;
  /** What operators do to the pool. */
  readonly poolService: PoolService;
  readonly membership: Membership;
  readonly lease: LeaseClock;
  readonly folder: WorkflowFolder;
  readonly workflows: WorkflowRegistry;
  readonly catalogue: () => NodeCatalogue | null;
}

/** No backend is ours yet: membership starts with the pipeline. */
export async function openPool(frame: Frame, stores: Stores, audit: Audit): Promise<OpenPool> {
  const { config, tempo, logger, owner, parts } = frame;
  const lease = new LeaseClock(tempo.lease.holdsMs);
  const pool = parts.use(new Pool(logger, tempo));
  const catalogue = () => pool.catalogue;
  const folder = new WorkflowFolder(config.workflowsDir);
  const workflows = parts.use(
    await WorkflowRegistry.open({
      folder,
      versions: new WorkflowVersions(stores.versions),
      catalogue,
      logger,
      tempo: tempo.workflows,
    }),
  );
  const membership = new Membership({
    owner,
    store: stores.backends,
    pool,
    lease,
    notices: stores.notices,
    entries: config.backends,
    inputDirs: config.inputDirs,
    workflows,
    log: new PoolLog(logger),
    tempo,
  });
  const wholePool = new WholePool({ pool, membership });
  const poolService = new PoolService({
    store: stores.backends,
    pool,
    wholePool,
    membership,
    workflows,
    audit,
  });
  return { pool, wholePool, poolService, membership, lease, folder, workflows, catalogue };
}
