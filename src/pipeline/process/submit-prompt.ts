import type { Backend } from '../../comfyui/backend.ts';
import { bind, type Prompt } from '../../core/bind.ts';
import { GatewayError } from '../../core/errors.ts';
import type { Rotation } from '../../core/media.ts';
import { serverFaults } from '../../core/server-faults.ts';
import { alphaClass } from '../../core/transparency.ts';
import { notTurned } from '../../core/turn-frames.ts';
import { neededOutputs, type Workflow } from '../../core/workflow.ts';
import { reached } from '../../telemetry/milestones.ts';
import { folderOf } from '../attempt-folder.ts';
import type { Attempt } from '../attempt-parts.ts';
import { stageInputs } from '../download/stage-inputs.ts';
import type { Prepared, Sources } from '../ready.ts';

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
  const turns = turnsFor(backend, ready.sources);
  const isTransparent = input?.kind === 'image' && input.hasAlpha === true;
  const joinsAlpha = isTransparent && backend.catalogue?.has(alphaClass) === true;
  const how = { arguments: run.arguments, size, turns, joinsAlpha };
  const prompt = bind(workflow, { files, folder, ...how });

  // Whoever took over meanwhile found no prompt and began anew: this one must not come after.
  if (!lease.isSure) return 'too late';
  journal.posting();
  let isFresh = false;
  try {
    const outputs = neededOutputs(workflow.outputs).map(({ node }) => node);
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

/** By the input, the degrees by which its frames are still to be turned when the server has read them. */
function turnsFor({ version, catalogue }: Backend, sources: Sources): Record<string, Rotation> {
  const turns: Record<string, Rotation> = {};
  for (const [name, { info }] of sources) {
    const isOnItsSide = serverFaults(version, info).some(({ code }) => code === 'lies-on-its-side');
    if (info.kind !== 'video' || !isOnItsSide) continue;
    if (catalogue?.has('ImageRotate') === false) throw notTurned(name);
    turns[name] = info.rotation ?? 0;
  }
  return turns;
}
