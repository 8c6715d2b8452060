import type { BackendReport, BackendView } from '../core/backend.ts';
import type { TaskService } from '../tasks/task-service.ts';
import { type Caller, tenantSeenBy } from './auth.ts';
import type { PoolControl } from './backends.ts';

export interface PoolViewParts {
  readonly pool: Pick<PoolControl, 'list'>;
  readonly tasks: Pick<TaskService, 'ownAmong'>;
}

/**
 * The pool as the caller may see it: operators as it is, others without what leads to a server, to a gateway or to
 * tasks of others. A backend is `backend-1`, `backend-2`, … to them, by its place in the list.
 */
export async function poolSeenBy(
  caller: Caller,
  { pool, tasks }: PoolViewParts,
): Promise<BackendView[]> {
  const backends = await pool.list();
  const tenant = tenantSeenBy(caller);
  if (tenant === null) return backends;
  const ids = backends.flatMap(({ report }) => [report?.task ?? [], report?.nextTask ?? []].flat());
  const own = await tasks.ownAmong(ids, tenant);
  return backends.map((backend, index) => veiled(backend, `backend-${index + 1}`, own));
}

function veiled(backend: BackendView, name: string, own: ReadonlySet<string>): BackendView {
  const { report } = backend;
  return {
    ...backend,
    id: name,
    address: name,
    inputDir: null,
    gateway: null,
    report: report && veiledReport(report, own),
  };
}

/**
 * A reason may name an address, or what another tenant's task failed of; versions and GPUs tell what a server may be
 * attacked by.
 */
function veiledReport(report: BackendReport, own: ReadonlySet<string>): BackendReport {
  const ifOwn = (id: string | null) => (id !== null && own.has(id) ? id : null);
  return {
    ...report,
    reason: '',
    version: null,
    devices: [],
    task: ifOwn(report.task),
    nextTask: ifOwn(report.nextTask),
    cannotRun: {},
  };
}
