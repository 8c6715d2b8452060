import { randomUUID } from 'node:crypto';
import type PQueue from 'p-queue';
import type { Backend } from '../comfyui/backend.ts';
import { bind, type Prompt } from '../core/bind.ts';
import { GatewayError } from '../core/errors.ts';
import { fingerprintOf } from '../core/fingerprint.ts';
import { contentTypeOf, type MediaInfo } from '../core/media.ts';
import { planSize } from '../core/size-plan.ts';
import type { Source, TaskOutput } from '../core/task.ts';
import type { Tempo } from '../core/tempo.ts';
import type { Workflow } from '../core/workflow.ts';
import type { ImageEncoder } from '../media/image-encoder.ts';
import type { MediaProbe } from '../media/probe.ts';
import type { Spool } from '../media/spool.ts';
import type { LeaseClock } from '../pool/lease-clock.ts';
import type { Seat } from '../pool/seat.ts';
import { SeatLostError } from '../pool/waiting-room.ts';
import type { ObjectStore, OutputTarget } from '../storage/object-store.ts';
import type { QueueStats } from '../tasks/queue-stats.ts';
import type { Twin } from '../tasks/twins.ts';
import type { AttemptLog } from '../telemetry/attempt-log.ts';
import { reached } from '../telemetry/milestones.ts';
import type { WorkflowRegistry } from '../workflows/registry.ts';
import { type AcquiredSource, acquireSource } from './acquire-source.ts';
import { attemptFolder } from './attempt-folder.ts';
import type { AttemptJournal, ReportProgress } from './attempt-journal.ts';
import { awaitPrompt } from './await-prompt.ts';
import { megabytes } from './format.ts';
import { type ResultFile, resultFiles } from './result-files.ts';
import { SharedProgress } from './shared-progress.ts';
import type { SourceReader } from './source-reader.ts';
import { storeOutputs } from './store-output.ts';
import { copyOutputs, seekTwin } from './twin.ts';
import { waitingForRoom } from './wait-for-room.ts';

export interface AttemptParts {
  readonly workflows: WorkflowRegistry;
  readonly sourceReader: SourceReader;
  readonly probe: MediaProbe;
  readonly encoder: ImageEncoder;
  /** Whether small pictures are made of pictures. */
  readonly thumbnails: boolean;
  readonly spool: Spool;
  readonly store: ObjectStore;
  /** An address that a client gave for its main result. */
  readonly targetAt: (url: string) => OutputTarget;
  /** Bounds on how many transfers of a kind run at once. */
  readonly downloads: PQueue;
  readonly uploads: PQueue;
  /** How long workflows take. */
  readonly stats: Pick<QueueStats, 'durations'>;
  readonly lease: Pick<LeaseClock, 'isSure'>;
  /** Whether a task takes the results of a twin. */
  readonly coalesces: boolean;
  readonly tempo: Pick<Tempo, 'spool' | 'prompt' | 'transfer'>;
}

/** One attempt with all that it works with. */
export interface Attempt extends AttemptParts {
  readonly journal: AttemptJournal;
  /** In front of a GPU when the attempt begins, or at one where the prompt is there already. */
  readonly seat: Seat;
  readonly log: AttemptLog;
  /** Hears the key of every object before it is stored: who ends the attempt removes them. */
  readonly onStoring: (key: string) => void;
  readonly signal: AbortSignal;
}

/** Whether the results were made, or taken from a twin without the use of any backend. */
export type AttemptEnd = 'made' | 'taken';

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
 *   signal's reason when it aborts; TwinAwaitedError, TwinGoneError. Whoever calls decides what becomes
 *   of the task.
 */
export async function runAttempt(attempt: Attempt): Promise<AttemptEnd> {
  const { journal, seat, spool } = attempt;
  await using cleanup = new AsyncDisposableStack();
  cleanup.defer(() => spool.clear(journal.claim.attempt.id));
  // What was posted may still read them, whatever becomes of us: whoever ends it removes them.
  cleanup.defer(async () => {
    if (journal.postedPromptId === null) await seat.backend.inputs.remove(folderOf(journal));
  });
  const workflow = await workflowOf(attempt);

  const ready =
    leftBehind(attempt) ??
    (await knownTwin(attempt)) ??
    (await journal.run(
      'download',
      (report) => prepare(attempt, workflow, report),
      ({ sources }) => downloaded(sources),
    ));

  if ('twin' in ready) {
    await take(attempt, ready.twin);
    return 'taken';
  }

  await takeGpu(attempt, ready);

  const files = await journal.run(
    'process',
    (report) => process(attempt, workflow, ready, report),
    () => 'Processing complete',
  );

  await keep(attempt, workflow, ready.input, files);
  return 'made';
}

/** Waits for a GPU: that of its backend or of another which takes its inputs. */
async function takeGpu(
  { seat, log, signal }: Attempt,
  { sources }: Prepared | LeftBehind,
): Promise<void> {
  const { label: from } = seat.backend;
  await seat.takeGpu(signal, (backend) => takesAll(backend, sources));
  if (seat.backend.label !== from) log.moved(from);
}

/** The version that the task began with. */
async function workflowOf({ journal, workflows }: Attempt): Promise<Workflow> {
  const { task } = journal.claim;
  await workflows.load([task]);
  const workflow = workflows.versionOf(task);
  if (!workflow) throw new GatewayError('workflow_unknown', `Workflow ${task.workflow} is gone`);
  return workflow;
}

/** A prompt that a dead gateway left on the backend. */
interface LeftBehind {
  readonly sources: null;
  readonly promptId: string;
  readonly input: MediaInfo | null;
}

/** A task of which nothing is missing but a GPU. */
interface Prepared {
  /** By the input that they are for, the main one's first. */
  readonly sources: ReadonlyMap<string, AcquiredSource>;
  /** What the main input is; `null` where the workflow has none. */
  readonly input: MediaInfo | null;
  readonly promptId: string;
  /** Where the inputs are by now, and under which names. */
  readonly staged: StagedInputs;
}

interface StagedInputs {
  readonly backend: Backend;
  /** By the input that they are for. */
  readonly files: Readonly<Record<string, string>>;
}

/** Whether the backend takes inputs so large; the inputs of a prompt are on its backend already. */
function takesAll(backend: Backend, sources: LeftBehind['sources'] | Prepared['sources']): boolean {
  return !sources?.values().some(({ bytes }) => !backend.inputs.takes(bytes));
}

function leftBehind({ journal }: Attempt): LeftBehind | null {
  const { promptId, input } = journal.claim.attempt;
  return promptId ? { sources: null, promptId, input } : null;
}

/** A task whose sources were here before, and which followed a twin since. */
async function knownTwin({ journal, coalesces }: Attempt): Promise<{ twin: Twin } | null> {
  const { fingerprint } = journal.claim;
  const twin = coalesces && fingerprint ? await seekTwin(journal, fingerprint) : null;
  if (twin) journal.skip('download', 'The sources were here before');
  return twin && { twin };
}

/**
 * Brings the sources to our disk, and on to the backend in front of which the task waits, unless
 * there is a twin.
 */
async function prepare(
  attempt: Attempt,
  workflow: Workflow,
  report: ReportProgress,
): Promise<Prepared | (Pick<Prepared, 'sources'> & { twin: Twin })> {
  const { journal, seat } = attempt;
  const { task } = journal.claim;
  const progress = new SharedProgress(report, task.sources.length);
  const sources = new Map(
    await Promise.all(
      task.sources.map(async (source, index) => {
        const acquired = await acquire(attempt, workflow, source, progress.part(index));
        return [source.input, acquired] as const;
      }),
    ),
  );
  const [main] = workflow.inputs;
  const input = (main && sources.get(main.name)?.info) ?? null;
  // Whether the workflow can give the size that was asked for is known by now.
  planSize(input, workflow, task.size);
  const twin = attempt.coalesces ? await twinOf(attempt, sources) : null;
  if (twin) return { sources, twin };
  const ready = { sources, input, promptId: randomUUID() };
  return { ...ready, staged: await stage(attempt, ready, seat.backend) };
}

/** The twin of a task whose sources are here; none where it leads already, or can have none. */
async function twinOf({ journal }: Attempt, sources: Prepared['sources']): Promise<Twin | null> {
  const { task, fingerprint: known } = journal.claim;
  const hashes = [...sources].map(([name, { sha256 }]) => [name, sha256 ?? ''] as const);
  const fingerprint = fingerprintOf(task, new Map(hashes));
  if (fingerprint === null || fingerprint === known) return null;
  return await seekTwin(journal, fingerprint);
}

async function acquire(
  attempt: Attempt,
  workflow: Workflow,
  { input: name, url }: Source,
  report: ReportProgress,
): Promise<AcquiredSource> {
  const { journal, spool, downloads, tempo, signal } = attempt;
  const input = workflow.inputs.find((each) => each.name === name);
  const kind = input?.kind ?? journal.claim.task.kind;
  const owner = journal.claim.attempt.id;
  const onWaiting = () => report({ progress: 0, detail: 'Waiting for room on the disk' });
  return await inTurn(downloads, signal, () =>
    waitingForRoom({ spool, owner, name, onWaiting, tempo: tempo.spool }, signal, async () => {
      await spool.room(owner, signal);
      const file = spool.file(owner, name);
      const { limits = {} } = workflow;
      const wanted = { url, kind, limits, wantsSha256: attempt.coalesces, ...file };
      return await acquireSource(attempt, wanted, report, signal);
    }),
  );
}

function downloaded(sources: ReadonlyMap<string, AcquiredSource>): string {
  if (sources.size === 0) return 'Nothing to download';
  const bytes = sources.values().reduce((sum, source) => sum + source.bytes, 0);
  return `Download complete, ${megabytes(bytes)}`;
}

/**
 * Puts the inputs onto the backend and the prompt's id on record, while the check of the inputs comes
 * to its end, so that nothing is left to do but to post the prompt.
 */
async function stage(
  { journal, signal }: Attempt,
  { sources, input, promptId }: Omit<Prepared, 'staged'>,
  backend: Backend,
): Promise<StagedInputs> {
  const useless = new AbortController();
  const uploading = AbortSignal.any([signal, useless.signal]);
  const uploads = [...sources].map(async ([name, { path, bytes, info, checked }]) => {
    checked.catch((error) => useless.abort(error));
    const file = {
      path,
      size: bytes,
      contentType: contentTypeOf(info.format),
      name: `${name}.${info.format}`,
      subfolder: folderOf(journal),
    };
    const [uploaded] = await Promise.all([backend.inputs.put(file, uploading), checked]);
    return [name, uploaded] as const;
  });
  const recorded = journal.recordPrompt({ promptId, backend: backend.label, input });
  const [files] = await Promise.all([Promise.all(uploads), recorded]).catch(async (error) => {
    // None of them may come after the others are cleared away.
    useless.abort(error);
    await Promise.allSettled(uploads);
    throw error;
  });
  reached('prompt-recorded');
  return { backend, files: Object.fromEntries(files) };
}

/** Runs the prompt, or goes on with one that runs. The GPU is given up as soon as it is done. */
async function process(
  attempt: Attempt,
  workflow: Workflow,
  ready: Prepared | LeftBehind,
  report: ReportProgress,
): Promise<ResultFile[]> {
  const { journal, seat, stats, tempo, signal } = attempt;
  const { task, attempt: row } = journal.claim;
  const isAdopted = ready.sources === null;
  const { prompt, isFresh } = isAdopted
    ? { prompt: null, isFresh: false }
    : await submit(attempt, workflow, ready);
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
    learnedMs: learned(stats, task.workflow),
    leftMs: task.runTimeoutMs === null ? null : task.runTimeoutMs - elapsedMs,
    onProgress: (progress: Parameters<ReportProgress>[0]) => {
      reached('prompt-running');
      report(progress);
    },
    onGpuFree: once(freed),
  };
  try {
    const files = await awaitPrompt(seat.backend, awaited, tempo.prompt, signal);
    return resultFiles(workflow, files, folderOf(journal));
  } catch (error) {
    const isGone = error instanceof GatewayError && error.code === 'prompt_lost';
    if (isGone && isAdopted && row.postedAt === null) throw new NeverPostedError();
    throw error;
  }
}

/** Posts the prompt to the backend that has the GPU. */
async function submit(
  attempt: Attempt,
  workflow: Workflow,
  ready: Prepared,
): Promise<{ prompt: Prompt; isFresh: boolean }> {
  const { journal, spool, seat, lease, signal } = attempt;
  const { task } = journal.claim;
  const { backend } = seat;
  let { staged } = ready;
  if (staged.backend !== backend) {
    // First: two servers may have one folder.
    await staged.backend.inputs.remove(folderOf(journal));
    staged = await stage(attempt, ready, backend);
  }
  const { files } = staged;
  const size = planSize(ready.input, workflow, task.size);
  const folder = folderOf(journal);
  const prompt = bind(workflow, { files, folder, arguments: task.arguments, size });

  // Whoever took over meanwhile found no prompt and began anew: this one must not come after.
  if (!lease.isSure) throw new SeatLostError('The leases may have run out');
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
  // The backend has the inputs, and another attempt would fetch them again. A file of gigabytes takes a
  // while to remove, in which the prompt's first messages would be missed; at the end it is seen to again.
  spool.clear(journal.claim.attempt.id).catch(() => {});
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

/** Completes the task with what its twin has stored. */
async function take(attempt: Attempt, twin: Twin): Promise<void> {
  const { journal, store, uploads, onStoring, signal } = attempt;
  journal.skip('process', 'The result of an identical task was taken');
  const copy = () => copyOutputs(store, journal.claim, twin, onStoring, signal);
  const outputs = await journal.run(
    'upload',
    () => inTurn(uploads, signal, copy),
    (copies) => `Copied, ${megabytes(bytesOf(copies))}`,
  );
  reached('stored');
  await journal.complete(outputs);
}

/** Streams the result into the store, while the next task has the GPU, and completes the task. */
async function keep(
  attempt: Attempt,
  workflow: Workflow,
  input: MediaInfo | null,
  files: readonly ResultFile[],
): Promise<void> {
  const { journal, seat, uploads, onStoring, signal } = attempt;
  const { client } = seat.backend;
  const outputs = await journal.run(
    'upload',
    async (report) => {
      reached('uploading');
      return await storeOutputs(attempt, {
        claim: journal.claim,
        client,
        files,
        input,
        size: planSize(input, workflow, journal.claim.task.size),
        inTurn: (work) => inTurn(uploads, signal, work),
        onStoring,
        report,
        signal,
      });
    },
    (outputs) => `Upload complete, ${megabytes(bytesOf(outputs))}`,
  );
  reached('stored');
  await journal.complete(outputs);
  await seat.backend.inputs.remove(folderOf(journal));
  // The history is kept in the server's memory; that it cannot be cleared is no reason to fail.
  const promptId = journal.postedPromptId;
  if (promptId) await client.forget(promptId, signal).catch(() => {});
}

function bytesOf(outputs: readonly TaskOutput[]): number {
  return outputs.reduce((sum, { size }) => sum + size, 0);
}

function folderOf({ claim }: AttemptJournal): string {
  return attemptFolder(claim.attempt.id);
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
