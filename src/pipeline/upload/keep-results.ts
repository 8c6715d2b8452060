import { queuesItself } from '../../core/requeuing.ts';
import type { Workflow } from '../../core/workflow.ts';
import { reached } from '../../telemetry/milestones.ts';
import { folderOf } from '../attempt-folder.ts';
import type { Attempt } from '../attempt-parts.ts';
import { megabytesOf } from '../format.ts';
import type { AttemptEnd } from '../outcome.ts';
import type { ResultFile } from '../process/result-files.ts';
import type { Ready } from '../ready.ts';
import { deliver } from './deliver.ts';
import { wholeSequences } from './sequences.ts';
import { storeOutputs } from './store-outputs.ts';

/** Streams the result into the store, while the next run has the GPU, and completes the run. */
export async function keepResults(
  attempt: Attempt,
  workflow: Workflow,
  ready: Ready,
  files: readonly ResultFile[],
): Promise<AttemptEnd> {
  const { journal, seat, uploads, maxOutputs, onStoring, signal } = attempt;
  const { input, size } = ready;
  const { client } = seat.backend;
  const outputs = await journal.run(
    'upload',
    async (report) => {
      reached('uploading');
      const sequences = { client, maxOutputs, tempo: attempt.tempo };
      const whole = await wholeSequences(sequences, files, signal);
      return await storeOutputs(attempt, {
        claim: journal.claim,
        server: seat.backend.label,
        client,
        files: whole,
        workflow,
        input,
        source: sourceOf(ready),
        size,
        turns: uploads,
        onStoring,
        warn: (warning) => journal.warn(warning),
        report,
        signal,
      });
    },
    (outputs) => `Upload complete, ${megabytesOf(outputs)}`,
  );
  reached('stored');
  await deliver(attempt, outputs, 'made');
  await seat.backend.inputs.remove(folderOf(journal));
  // The history is kept in the server's memory; that it cannot be cleared is no reason to fail.
  const promptId = journal.postedPromptId;
  if (promptId) {
    const isForgotten = queuesItself(workflow.graph)
      ? client.forgetAll(promptId, signal)
      : client.forget(promptId, signal);
    await isForgotten.catch(() => {});
  }
  return { kind: 'made' };
}

/** The file of the main input; a prompt that a dead gateway left behind has none here. */
function sourceOf(ready: Ready): string | null {
  if (ready.kind === 'left-behind') return null;
  const [main] = ready.sources.values();
  return main?.path ?? null;
}
