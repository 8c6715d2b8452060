import { resultOwnerOf } from '../../core/attempt.ts';
import type { Twin } from '../../tasks/twin-store.ts';
import { reached } from '../../telemetry/milestones.ts';
import type { Attempt } from '../attempt-parts.ts';
import { megabytesOf } from '../format.ts';
import { type AttemptEnd, undone } from '../outcome.ts';
import { copyOutputs } from './copy-outputs.ts';
import { deliver } from './deliver.ts';

/** Completes the run with what its twin has stored. */
export async function takeResults(attempt: Attempt, twin: Twin): Promise<AttemptEnd> {
  const { journal, store, uploads, onStoring, signal } = attempt;
  journal.skip('process', 'The result of an identical task was taken');
  const to = resultOwnerOf(journal.claim);
  const copy = () => copyOutputs(store, twin, to, onStoring, signal);
  const outputs = await journal.run(
    'upload',
    () => uploads.run({ tenant: journal.claim.run.tenant }, signal, copy),
    (copies) => `Copied, ${megabytesOf(copies ?? [])}`,
  );
  if (!outputs) {
    await journal.forgetTwins();
    return undone(`The results of the identical task ${twin.taskId} cannot be had`);
  }
  for (const warning of twin.warnings) journal.warn(warning);
  reached('stored');
  await deliver(attempt, outputs, 'taken');
  return { kind: 'taken' };
}
