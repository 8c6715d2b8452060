import { randomUUID } from 'node:crypto';
import type PQueue from 'p-queue';
import type { Backend } from '../comfyui/backend.ts';
import type { OutputFile } from '../comfyui/messages.ts';
import { GatewayError } from '../core/errors.ts';
import { contentTypeOf, type MediaInfo } from '../core/media.ts';
import { planSize, type Size } from '../core/size-plan.ts';
import { bind, type Prompt, type Workflow } from '../core/workflow.ts';
import type { SourceFetcher } from '../media/fetch-source.ts';
import type { MediaProbe } from '../media/probe.ts';
import type { Spool } from '../media/spool.ts';
import type { LeaseClock } from '../pool/lease-clock.ts';
import type { Seat } from '../pool/seat.ts';
import { SeatLostError } from '../pool/waiting-room.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { ClaimLostError } from '../tasks/attempt-store.ts';
import type { QueueStats } from '../tasks/queue-stats.ts';
import { reached } from '../telemetry/milestones.ts';
import type { WorkflowRegistry } from '../workflows/registry.ts';
import { type AcquiredSource, acquireSource } from './acquire-source.ts';
import type { AttemptJournal, ReportProgress } from './attempt-journal.ts';
import { awaitPrompt } from './await-prompt.ts';
import { megabytes } from './format.ts';
import { storeOutput } from './store-output.ts';

export interface AttemptParts {
  readonly workflows: WorkflowRegistry;
  readonly fetcher: SourceFetcher;
  readonly probe: MediaProbe;
  readonly spool: Spool;
  readonly store: ObjectStore;
  /** Bounds on how many transfers of a kind run at once. */
  readonly downloads: PQueue;
  readonly uploads: PQueue;
  /** How long workflows take. */
  readonly stats: Pick<QueueStats, 'durations'>;
  readonly lease: Pick<LeaseClock, 'isSure'>;
}

/** One attempt with all that it works with. */
export interface Attempt extends AttemptParts {
  readonly journal: AttemptJournal;
  /** In front of a GPU when the attempt begins, or at one where the prompt is there already. */
  readonly seat: Seat;
  readonly signal: AbortSignal;
}

/** An adopted prompt that was made ready and never posted: the attempt never was. */
export class NeverPostedError extends Error {
  override readonly name = 'NeverPostedError';
}

/**
 * One attempt of a task, from its source to its stored result. It is made ready in front of a backend
 * whose GPU may still work on the task before, and runs on that one or on another that falls idle
 * first. Where a dead gateway left the attempt with a prompt on a backend, it goes on from there.
 *
 * @throws GatewayError for what went wrong; ClaimLostError when the task is no longer ours; the
 *   signal's reason when it aborts. Whoever calls decides what becomes of the task.
 */
export async function runAttempt(attempt: Attempt): Promise<void> {
  const { journal, seat, signal } = attempt;
  await using cleanup = new AsyncDisposableStack();
  cleanup.defer(() => attempt.spool.remove(journal.claim.attempt.id));

  const ready =
    leftBehind(attempt) ??
    (await journal.run(
      'download',
      (report) => prepare(attempt, report),
      ({ source }) => `Download complete, ${megabytes(source.bytes)}`,
    ));

  await seat.takeGpu(signal);

  const file = await journal.run(
    'process',
    (report) => process(attempt, ready, report),
    () => 'Processing complete',
  );

  await keep(attempt, ready.input, file);
}

/** A prompt that a dead gateway left on the backend. */
interface LeftBehind {
  readonly source: null;
  readonly promptId: string;
  readonly input: MediaInfo;
}

/** A task of which nothing is missing but a GPU. */
interface Prepared {
  readonly source: AcquiredSource;
  readonly input: MediaInfo;
  readonly workflow: Workflow;
  readonly size: Size | null;
  readonly promptId: string;
  /** Where the input is by now, and under which name. */
  readonly staged: StagedInput;
}

interface StagedInput {
  readonly backend: Backend;
  readonly name: string;
}

function leftBehind({ journal }: Attempt): LeftBehind | null {
  const { promptId, input } = journal.claim.attempt;
  return promptId && input ? { source: null, promptId, input } : null;
}

/** Brings the source to our disk, and on to the backend in front of which the task waits. */
async function prepare(attempt: Attempt, report: ReportProgress): Promise<Prepared> {
  const { journal, workflows, spool, downloads, seat, signal } = attempt;
  const { task, attempt: row } = journal.claim;
  const path = spool.path(row.id);
  const source = await inTurn(downloads, signal, async () => {
    await spool.room(signal);
    const onBytes = (bytes: number) => spool.grown(row.id, bytes);
    return await acquireSource(attempt, task, { path, onBytes }, report, signal);
  });
  const workflow = workflows.find(task.workflow);
  if (!workflow) throw new GatewayError('workflow_unknown', `Workflow ${task.workflow} is gone`);
  const size = planSize(source.info, task.size);
  const ready = { source, input: source.info, workflow, size, promptId: randomUUID() };
  return { ...ready, staged: await stage(attempt, ready, seat.backend) };
}

/**
 * Puts the input onto the backend and the prompt's id on record, while the check of the input comes to
 * its end, so that nothing is left to do but to post the prompt.
 */
async function stage(
  { journal, signal }: Attempt,
  { source, workflow, promptId }: Omit<Prepared, 'staged'>,
  backend: Backend,
): Promise<StagedInput> {
  const { path, bytes, info, checked } = source;
  const input = {
    path,
    size: bytes,
    contentType: contentTypeOf(info.format),
    name: `input.${info.format}`,
    subfolder: folderOf(journal),
  };
  const record = { promptId, backend: backend.label, input: info, workflowHash: workflow.hash };
  const useless = new AbortController();
  checked.catch((error) => useless.abort(error));
  const [name] = await Promise.all([
    backend.client.upload(input, AbortSignal.any([signal, useless.signal])),
    journal.recordPrompt(record),
    checked,
  ]);
  reached('prompt-recorded');
  return { backend, name };
}

/** Runs the prompt, or goes on with one that runs. The GPU is given up as soon as it is done. */
async function process(
  attempt: Attempt,
  ready: Prepared | LeftBehind,
  report: ReportProgress,
): Promise<OutputFile> {
  const { journal, seat, stats, signal } = attempt;
  const { task, attempt: row } = journal.claim;
  const isAdopted = ready.source === null;
  const { prompt, isFresh } = isAdopted
    ? { prompt: null, isFresh: false }
    : await submit(attempt, ready);
  const startedAt = performance.now();
  const elapsedMs = row.postedAt ? Date.now() - row.postedAt.getTime() : 0;
  const freed = () => {
    if (!isAdopted) tookTime(attempt, performance.now() - startedAt);
    seat.release();
  };
  const awaited = {
    promptId: ready.promptId,
    prompt,
    workflow: task.workflow,
    isFresh,
    outputFolder: folderOf(journal),
    learnedMs: learned(stats, task.workflow),
    leftMs: task.runTimeoutMs === null ? null : task.runTimeoutMs - elapsedMs,
    onProgress: (progress: Parameters<ReportProgress>[0]) => {
      reached('prompt-running');
      report(progress);
    },
    onGpuFree: once(freed),
  };
  try {
    return await awaitPrompt(seat.backend, awaited, signal);
  } catch (error) {
    const isGone = error instanceof GatewayError && error.code === 'prompt_lost';
    if (isGone && isAdopted && row.postedAt === null) throw new NeverPostedError();
    throw error;
  }
}

/** Posts the prompt to the backend that has the GPU. */
async function submit(
  attempt: Attempt,
  ready: Prepared,
): Promise<{ prompt: Prompt; isFresh: boolean }> {
  const { journal, spool, seat, lease, signal } = attempt;
  const { backend } = seat;
  const { workflow, size, promptId } = ready;
  const { name } =
    ready.staged.backend === backend ? ready.staged : await stage(attempt, ready, backend);
  const filenamePrefix = `${folderOf(journal)}/out`;
  const prompt = bind(workflow, { inputName: name, filenamePrefix, size });

  // Whoever took over meanwhile found no prompt and began anew: this one must not come after.
  if (!lease.isSure) throw new SeatLostError('The leases may have run out');
  journal.posting();
  let isFresh = false;
  try {
    const count = await backend.client.submit(promptId, prompt, backend.clientId, signal);
    backend.posted(workflow.name, count);
    isFresh = true;
  } catch (error) {
    // The answer may have been lost, not the prompt: the queue and the history will tell.
    if (!(error instanceof GatewayError && error.code === 'backend_unreachable')) throw error;
  }
  reached('prompt-posted');
  // The backend has the input, and another attempt would fetch it again.
  await spool.remove(journal.claim.attempt.id);
  return { prompt, isFresh };
}

/** How long the workflow takes, milliseconds; `null` also while the database cannot tell. */
async function learned(stats: AttemptParts['stats'], workflow: string): Promise<number | null> {
  const durations = await stats.durations().catch(() => null);
  return durations?.get(workflow) ?? null;
}

/** What later tasks, here and elsewhere, are measured by. */
function tookTime({ journal, seat }: Attempt, ms: number): void {
  journal.gpuTime(ms);
  seat.backend.runTimes.add(journal.claim.task.workflow, ms);
}

/** Streams the result into the store, while the next task has the GPU, and completes the task. */
async function keep(attempt: Attempt, input: MediaInfo, file: OutputFile): Promise<void> {
  const { journal, store, seat, uploads, signal } = attempt;
  const { client } = seat.backend;
  let storedKey: string | null = null;
  try {
    const output = await journal.run(
      'upload',
      async (report) => {
        reached('uploading');
        const stored = await storeOutput(attempt, {
          claim: journal.claim,
          client,
          file,
          input,
          inTurn: (work) => inTurn(uploads, signal, work),
          report,
          signal,
        });
        storedKey = stored.key;
        return stored;
      },
      ({ size }) => `Upload complete, ${megabytes(size)}`,
    );
    reached('stored');
    await journal.complete(output);
  } catch (error) {
    // Only of a canceled task is it sure that nobody refers to the object: a commit whose answer was
    // lost may stand, and a gateway that adopted this attempt stores under the same key.
    if (storedKey && error instanceof ClaimLostError && (await journal.isCanceled())) {
      await store.delete(storedKey, AbortSignal.timeout(30_000));
    }
    throw error;
  }
  // The history is kept in the server's memory; that it cannot be cleared is no reason to fail.
  const promptId = journal.postedPromptId;
  if (promptId) await client.forget(promptId, signal).catch(() => {});
}

/** On the backend, for the input and for the output: nobody else writes there. */
function folderOf({ claim }: AttemptJournal): string {
  return `tmlsr/${claim.attempt.id}`;
}

async function inTurn<T>(queue: PQueue, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  return (await queue.add(work, { signal })) as T;
}

function once(act: () => void): () => void {
  let isDone = false;
  return () => {
    if (isDone) return;
    isDone = true;
    act();
  };
}
