import { GatewayError } from '../../core/errors.ts';
import { queuesItself } from '../../core/requeuing.ts';
import type { Workflow } from '../../core/workflow.ts';
import { reached } from '../../telemetry/milestones.ts';
import { folderOf } from '../attempt-folder.ts';
import type { ReportProgress } from '../attempt-journal.ts';
import type { Attempt } from '../attempt-parts.ts';
import { type Undone, undone } from '../outcome.ts';
import type { Ready } from '../ready.ts';
import { awaitPrompt } from './await-prompt.ts';
import { awaitPrompts } from './await-prompts.ts';
import { EarlyMessages } from './early-messages.ts';
import { type ResultFile, resultFiles } from './result-files.ts';
import { submitPrompt } from './submit-prompt.ts';

/** Its results, still on the backend. */
interface Made {
  readonly kind: 'made';
  readonly files: readonly ResultFile[];
}

/** Runs the prompt, or goes on with one that runs. The GPU is given up as soon as it is done. */
export async function runPrompt(
  attempt: Attempt,
  workflow: Workflow,
  ready: Ready,
  report: ReportProgress,
): Promise<Made | Undone> {
  const { journal, seat, stats, maxOutputs, tempo, signal } = attempt;
  const { run, attempt: row } = journal.claim;
  const isAdopted = ready.kind === 'left-behind';
  using early = new EarlyMessages(seat.backend, ready.promptId);
  const posted = isAdopted ? null : await submitPrompt(attempt, workflow, ready);
  if (posted === 'too late') return undone('The leases may have run out');
  const startedAt = performance.now();
  const elapsedMs = row.postedAt ? Date.now() - row.postedAt.getTime() : 0;
  let gpuMs: number | null = null;
  const freed = () => {
    gpuMs ??= performance.now() - startedAt;
    seat.release();
  };
  const awaited = {
    promptId: ready.promptId,
    prompt: posted?.prompt ?? null,
    workflow: run.workflow,
    isFresh: posted?.isFresh ?? false,
    early,
    learnedMs: learned(stats, run.workflow),
    leftMs: run.runTimeoutMs === null ? null : run.runTimeoutMs - elapsedMs,
    onProgress: (progress: Parameters<ReportProgress>[0]) => {
      reached('prompt-running');
      report(progress);
    },
    onGpuFree: freed,
  };
  try {
    const follow = queuesItself(workflow.graph) ? awaitPrompts : awaitPrompt;
    const made = await follow(seat.backend, awaited, tempo.prompt, signal);
    if (gpuMs !== null) {
      // How long a failure takes says nothing of the next run.
      if (!isAdopted) recordGpuTime(attempt, gpuMs);
      else journal.gpuTime(await adoptedMs(elapsedMs, gpuMs, awaited), false);
    }
    return { kind: 'made', files: resultFiles(workflow, made, folderOf(journal), maxOutputs) };
  } catch (error) {
    const isGone = error instanceof GatewayError && error.code === 'prompt_lost';
    if (isGone && isAdopted && row.postedAt === null) return undone('Its prompt was never posted');
    throw error;
  }
}

/** How long the workflow takes, milliseconds; `null` also while the database cannot tell. */
async function learned(stats: Attempt['stats'], workflow: string): Promise<number | null> {
  const durations = await stats.durations().catch(() => null);
  return durations?.get(workflow) ?? null;
}

/**
 * How long an adopted prompt had the GPU: `watchedMs` of it before our eyes. One that may have ended while no gateway
 * looked is taken to have lasted no longer than others of its workflow.
 */
async function adoptedMs(
  elapsedMs: number,
  watchedMs: number,
  { learnedMs }: { readonly learnedMs: Promise<number | null> },
): Promise<number> {
  const usualMs = (await learnedMs) ?? Number.POSITIVE_INFINITY;
  return Math.min(elapsedMs + watchedMs, Math.max(usualMs, watchedMs));
}

/** What later runs, here and elsewhere, are measured by. */
function recordGpuTime({ journal, seat }: Attempt, ms: number): void {
  journal.gpuTime(ms, true);
  seat.backend.runTimes.add(journal.claim.run.workflow, ms);
}
