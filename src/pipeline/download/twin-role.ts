import type { Claim } from '../../core/attempt.ts';
import { fingerprintOf } from '../../core/fingerprint.ts';
import type { SourceNote } from '../../core/source-note.ts';
import type { TwinRole } from '../../tasks/twin-store.ts';
import type { Attempt } from '../attempt-parts.ts';
import type { Sources } from '../ready.ts';

/** What the run is to its twins, its sources being here. One that can have none leads as well. */
export async function roleAmongTwins(attempt: Attempt, sources: Sources): Promise<TwinRole> {
  const { journal } = attempt;
  const { run } = journal.claim;
  if (!mayShare(attempt)) return { kind: 'leads' };
  const fingerprint = fingerprintWith(journal.claim, sources);
  if (fingerprint !== null && fingerprint === run.fingerprint) return { kind: 'leads' };
  // Its source is another by now than that of the tasks which have joined it.
  await journal.separateOthers();
  return fingerprint === null ? { kind: 'leads' } : await journal.seekTwin(fingerprint);
}

/**
 * Leaves the run to its first task. The others have let go of what their links gave, which was the same as what the run
 * has here: it is theirs now.
 */
export async function separateOthers({
  journal,
  sources: kept,
}: Pick<Attempt, 'journal' | 'sources'>): Promise<void> {
  const { claim } = journal;
  if (claim.run.fingerprint === null) return;
  const files = await kept.filesOf(claim.run);
  const isTheirs = fingerprintWith(claim, files) === claim.run.fingerprint;
  const others = await journal.separateOthers();
  if (isTheirs) await Promise.all(others.map((runId) => kept.lend(files, runId)));
}

function fingerprintWith(
  { run, task: { delivery } }: Claim,
  sources: ReadonlyMap<string, Pick<SourceNote, 'sha256'>>,
): string | null {
  const hashes = [...sources].map(([name, { sha256 }]) => [name, sha256 ?? ''] as const);
  return fingerprintOf({ ...run, delivery }, new Map(hashes));
}

/** Whether the run looks for twins; one that others have joined does wherever it is. */
export function mayShare({ coalesces, journal }: Attempt): boolean {
  return coalesces || journal.claim.run.fingerprint !== null;
}
