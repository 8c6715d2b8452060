import { bind, type Prompt } from '../../core/bind.ts';
import { GatewayError } from '../../core/errors.ts';
import { alphaClass } from '../../core/transparency.ts';
import type { Workflow } from '../../core/workflow.ts';
import { reached } from '../../telemetry/milestones.ts';
import { folderOf } from '../attempt-folder.ts';
import type { Attempt } from '../attempt-parts.ts';
import { stageInputs } from '../download/stage-inputs.ts';
import type { Prepared } from '../ready.ts';

/** Posts the prompt to the backend that has the GPU. */
export async function submitPrompt(
  attempt: Attempt,
  workflow: Workflow,
  ready: Prepared,
): Promise<{ prompt: Prompt; isFresh: boolean } | 'too late'> {
  const { journal, sources, seat, lease, signal } = attempt;
  const { run } = journal.claim;
  const { backend } = seat;
  let { staged } = ready;
  if (staged.backend !== backend) {
    // First: two servers may have one folder.
    await staged.backend.inputs.remove(folderOf(journal));
    staged = await stageInputs(attempt, ready, backend);
  }
  const { files } = staged;
  const { size, input } = ready;
  const folder = folderOf(journal);
  const isTransparent = input?.kind === 'image' && input.hasAlpha === true;
  const joinsAlpha = isTransparent && backend.catalogue?.has(alphaClass) === true;
  const prompt = bind(workflow, { files, folder, arguments: run.arguments, size, joinsAlpha });

  // Whoever took over meanwhile found no prompt and began anew: this one must not come after.
  if (!lease.isSure) return 'too late';
  journal.posting();
  let isFresh = false;
  try {
    const outputs = workflow.outputs.map(({ node }) => node);
    const { clientId } = backend;
    const posted = { id: ready.promptId, prompt, outputs, clientId };
    const count = await backend.client.submit(posted, signal);
    backend.posted(workflow.name, count);
    isFresh = true;
  } catch (error) {
    // The answer may have been lost, not the prompt: the queue and the history will tell.
    if (!(error instanceof GatewayError && error.code === 'backend_unreachable')) throw error;
  }
  reached('prompt-posted');
  // The backend has the inputs. A file of gigabytes takes a while to remove, in which the prompt's first
  // messages would be missed; at the end it is seen to again.
  sources.release(journal.claim).catch(() => {});
  return { prompt, isFresh };
}
