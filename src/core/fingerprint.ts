import { createHash } from 'node:crypto';
import { canonicalJson } from './canonical-json.ts';
import type { Task } from './task.ts';

/** Counted up when results of before are no longer those that would be made now. */
const edition = 2;

/**
 * sha256, hex, of everything that a task's results follow from: tasks with the same one are twins, and
 * make the same. Tenants have no twins among each other: how soon a task ends would tell one what
 * another has sent. `sources`: the SHA-256 of each source's bytes, by the input that it is for.
 *
 * `null` for a task without twins: one whose main result goes to an address of the client's and is not
 * kept, and one from before workflows had versions.
 */
export function fingerprintOf(
  task: Pick<Task, 'tenant' | 'workflowHash' | 'arguments' | 'size' | 'delivery'>,
  sources: ReadonlyMap<string, string>,
): string | null {
  const { tenant, workflowHash, arguments: chosen, size, delivery } = task;
  const { format, quality, keepsMetadata, putUrl } = delivery;
  if (putUrl !== null || workflowHash === '') return null;
  const origins = {
    edition,
    tenant,
    workflowHash,
    arguments: chosen,
    size,
    delivery: { format, quality, keepsMetadata },
    sources: Object.fromEntries(sources),
  };
  return createHash('sha256').update(canonicalJson(origins)).digest('hex');
}
