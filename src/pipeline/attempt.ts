import { GatewayError } from '../core/errors.ts';
import type { Workflow } from '../core/workflow.ts';
import { folderOf } from './attempt-folder.ts';
import type { Attempt } from './attempt-parts.ts';
import { downloaded, prepare } from './download/prepare.ts';
import type { AttemptEnd } from './outcome.ts';
import { runPrompt } from './process/run-prompt.ts';
import { leftBehind } from './ready.ts';
import { takeGpu } from './take-seat.ts';
import { keepResults } from './upload/keep-results.ts';
import { takeResults } from './upload/take-results.ts';

/**
 * One attempt of a run, from its source to its stored result. Once its source is here it is made ready in
 * front of a backend whose GPU may still work on the run before, and runs on that one or on another that
 * falls idle first. Where a dead gateway left the attempt with a prompt on a backend, it goes on from there.
 *
 * @throws GatewayError for what went wrong; ClaimLostError when the run is no longer ours; SeatLostError
 *   when no backend takes it; the signal's reason when it aborts. Whoever calls decides what becomes of
 *   the run.
 */
export async function runAttempt(attempt: Attempt): Promise<AttemptEnd> {
  const { journal, seat, sources } = attempt;
  await using cleanup = new AsyncDisposableStack();
  cleanup.defer(() => sources.release(journal.claim));
  // What was posted may still read them, whatever becomes of us: whoever ends it removes them.
  cleanup.defer(async () => {
    if (journal.postedPromptId === null) await seat.backend.inputs.remove(folderOf(journal));
  });
  const workflow = await workflowOf(attempt);

  const ready =
    leftBehind(attempt, workflow) ??
    (await journal.run('download', (report) => prepare(attempt, workflow, report), downloaded));

  if (ready.kind === 'joined') return ready;
  if (ready.kind === 'twin') return await takeResults(attempt, ready.twin);

  await takeGpu(attempt, workflow, ready);

  const made = await journal.run(
    'process',
    (report) => runPrompt(attempt, workflow, ready, report),
    () => 'Processing complete',
  );
  if (made.kind === 'undone') return made;

  return await keepResults(attempt, workflow, ready, made.files);
}

/** The version that the run began with. */
async function workflowOf({ journal, workflows }: Attempt): Promise<Workflow> {
  const { run } = journal.claim;
  await workflows.load([run]);
  const workflow = workflows.versionOf(run);
  if (!workflow) throw new GatewayError('workflow_unknown', `Workflow ${run.workflow} is gone`);
  return workflow;
}
