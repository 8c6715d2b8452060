import { randomUUID } from 'node:crypto';
import type PQueue from 'p-queue';
import type { Backend } from '../comfyui/backend.ts';
import type { OutputFile } from '../comfyui/messages.ts';
import type { Seat } from '../comfyui/seat.ts';
import { GatewayError } from '../core/errors.ts';
import { contentTypeOf, type MediaInfo } from '../core/media.ts';
import { planSize, type Size } from '../core/size-plan.ts';
import { bind, type Prompt, type Workflow } from '../core/workflow.ts';
import type { SourceFetcher } from '../media/fetch-source.ts';
import type { MediaProbe } from '../media/probe.ts';
import type { Spool } from '../media/spool.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { ClaimLostError } from '../tasks/claim-store.ts';
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
}

/** One attempt with all that it works with. */
export interface Attempt extends AttemptParts {
  readonly journal: AttemptJournal;
  /** In front of a GPU when the attempt begins, or at one where the prompt is there already. */
  readonly seat: Seat;
  readonly signal: AbortSignal;
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
  const source = await inTurn(downloads, signal, () =>
    acquireSource(attempt, task, path, report, signal),
  );
  const workflow = workflows.find(task.workflow);
  if (!workflow) throw new GatewayError('workflow_unknown', `Workflow ${task.workflow} is gone`);
  const size = planSize(source.info, task.size);
  const staged = await stageInput(attempt, source, seat.backend);
  return { source, input: source.info, workflow, size, staged };
}

/** Puts the input onto the backend, under a name that is the attempt's own. */
async function stageInput(
  attempt: Attempt,
  { path, bytes, info }: AcquiredSource,
  backend: Backend,
): Promise<StagedInput> {
  const input = {
    path,
    size: bytes,
    contentType: contentTypeOf(info.format),
    name: `input.${info.format}`,
    subfolder: folderOf(attempt),
  };
  return { backend, name: await backend.client.upload(input, attempt.signal) };
}

/** Runs the prompt, or goes on with one that runs. The GPU is given up as soon as it is done. */
async function process(
  attempt: Attempt,
  ready: Prepared | LeftBehind,
  report: ReportProgress,
): Promise<OutputFile> {
  const { seat, signal } = attempt;
  const submitted =
    ready.source === null
      ? { promptId: ready.promptId, prompt: null }
      : await submit(attempt, ready);
  const awaited = {
    ...submitted,
    outputFolder: folderOf(attempt),
    onProgress: report,
    onGpuFree: () => seat.release(),
  };
  const file = await awaitPrompt(seat.backend, awaited, signal);
  seat.release();
  return file;
}

/** Queues the prompt on the backend that has the GPU, its id on record beforehand. */
async function submit(
  attempt: Attempt,
  { source, workflow, size, staged }: Prepared,
): Promise<{ promptId: string; prompt: Prompt }> {
  const { journal, spool, seat, signal } = attempt;
  const { backend } = seat;
  const { name } = staged.backend === backend ? staged : await stageInput(attempt, source, backend);
  const filenamePrefix = `${folderOf(attempt)}/out`;
  const prompt = bind(workflow, { inputName: name, filenamePrefix, size });

  const promptId = randomUUID();
  await journal.recordPrompt({
    promptId,
    backend: backend.id,
    input: source.info,
    workflowHash: workflow.hash,
  });
  try {
    await backend.client.submit(promptId, prompt, backend.clientId, signal);
  } catch (error) {
    // The answer may have been lost, not the prompt: the queue and the history will tell.
    if (!(error instanceof GatewayError && error.code === 'backend_unreachable')) throw error;
  }
  // The backend has the input, and another attempt would fetch it again.
  await spool.remove(journal.claim.attempt.id);
  return { promptId, prompt };
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
        const stored = await inTurn(uploads, signal, () =>
          storeOutput(attempt, journal.claim, client, file, input, report, signal),
        );
        storedKey = stored.key;
        return stored;
      },
      ({ size }) => `Upload complete, ${megabytes(size)}`,
    );
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
  if (journal.promptId) await client.forget(journal.promptId, signal).catch(() => {});
}

/** On the backend, for the input and for the output: nobody else writes there. */
function folderOf({ journal }: Attempt): string {
  return `tmlsr/${journal.claim.attempt.id}`;
}

async function inTurn<T>(queue: PQueue, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  return (await queue.add(work, { signal })) as T;
}
