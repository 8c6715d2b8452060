import type { Backend } from '../../comfyui/backend.ts';
import { bind, type Prompt } from '../../core/bind.ts';
import { clipUse } from '../../core/clip-use.ts';
import { GatewayError } from '../../core/errors.ts';
import { fitGraph } from '../../core/fit-graph.ts';
import type { Slot } from '../../core/graph.ts';
import type { Rotation } from '../../core/media.ts';
import { readingOf, serverWarnings } from '../../core/read-clip.ts';
import { queuesItself } from '../../core/requeuing.ts';
import { alphaClass } from '../../core/transparency.ts';
import { notTurned } from '../../core/turn-frames.ts';
import type { Warning } from '../../core/warning.ts';
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
  const { turns, leftOut, warnings } = readings(backend, workflow, ready.sources);
  // Another server may have had it before.
  journal.rewarn(serverWarnings, warnings);
  const isTransparent = input?.kind === 'image' && input.hasAlpha === true;
  const joinsAlpha = isTransparent && backend.catalogue?.has(alphaClass) === true;
  const how = { arguments: run.arguments, size, turns, leftOut, joinsAlpha };
  const bound = bind(workflow, { files, folder, ...how });
  const { graph: prompt } = fitGraph(bound, workflow, backend.catalogue);

  // Whoever took over meanwhile found no prompt and began anew: this one must not come after.
  if (!lease.isSure) return 'too late';
  journal.posting();
  let isFresh = false;
  try {
    const outputs = neededOutputs(workflow.outputs).map(({ node }) => node);
    const { clientId } = backend;
    const isBatched = queuesItself(prompt);
    const posted = { id: ready.promptId, prompt, outputs, clientId, queuesItself: isBatched };
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

interface Readings {
  /** By the input, the degrees by which its frames are still to be turned when the server has read them. */
  readonly turns: Readonly<Record<string, Rotation>>;
  readonly leftOut: readonly Slot[];
  readonly warnings: readonly Warning[];
}

/** How this server is given the sources. @throws GatewayError `workflow_unsupported` where it must not get one. */
function readings({ version, catalogue }: Backend, workflow: Workflow, sources: Sources): Readings {
  const turns: Record<string, Rotation> = {};
  const leftOut: Slot[] = [];
  const warnings: Warning[] = [];
  for (const { name, slot } of workflow.inputs) {
    const source = sources.get(name);
    if (!source) continue;
    const reading = readingOf(name, source.info, clipUse(workflow, slot), version);
    const isTurned = reading.turn !== 0;
    if (isTurned && catalogue?.has('ImageRotate') === false) throw notTurned(name);
    if (isTurned) turns[name] = reading.turn;
    leftOut.push(...reading.leftOut);
    warnings.push(...reading.warnings);
  }
  return { turns, leftOut, warnings };
}
