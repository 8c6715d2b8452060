import { fingerprintOf } from '../../core/fingerprint.ts';
import type { TwinRole } from '../../tasks/twin-store.ts';
import type { Attempt } from '../attempt-parts.ts';
import type { Sources } from '../ready.ts';

/** What the run is to its twins, its sources being here. One that can have none leads as well. */
export async function roleAmongTwins(attempt: Attempt, sources: Sources): Promise<TwinRole> {
  const { journal } = attempt;
  const { run, task } = journal.claim;
  if (!mayShare(attempt)) return { kind: 'leads' };
  const hashes = [...sources].map(([name, { sha256 }]) => [name, sha256 ?? ''] as const);
  const fingerprint = fingerprintOf({ ...run, delivery: task.delivery }, new Map(hashes));
  if (fingerprint !== null && fingerprint === run.fingerprint) return { kind: 'leads' };
  // Its source is another by now than that of the tasks which have joined it.
  await journal.separateOthers();
  return fingerprint === null ? { kind: 'leads' } : await journal.seekTwin(fingerprint);
}

/** Whether the run looks for twins; one that others have joined does wherever it is. */
export function mayShare({ coalesces, journal }: Attempt): boolean {
  return coalesces || journal.claim.run.fingerprint !== null;
}
