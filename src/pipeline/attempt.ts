import { randomUUID } from 'node:crypto';
import type PQueue from 'p-queue';
import type { Backend } from '../comfyui/backend.ts';
import { bind, type Prompt } from '../core/bind.ts';
import { GatewayError } from '../core/errors.ts';
import { fingerprintOf } from '../core/fingerprint.ts';
import { contentTypeOf, type MediaInfo } from '../core/media.ts';
import { planSize, type SizePlan } from '../core/size-plan.ts';
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
import type { Twin, TwinRole } from '../tasks/twin-store.ts';
import type { AttemptLog } from '../telemetry/attempt-log.ts';
import { reached } from '../telemetry/milestones.ts';
import type { WorkflowRegistry } from '../workflows/registry.ts';
import { attemptFolder } from './attempt-folder.ts';
import type { AttemptJournal, ReportProgress } from './attempt-journal.ts';
import { type AcquiredSource, acquireSource } from './download/acquire-source.ts';
import type { SourceReader } from './download/source-reader.ts';
import { waitingForRoom } from './download/wait-for-room.ts';
import { megabytes } from './format.ts';
import { awaitPrompt } from './process/await-prompt.ts';
import { type ResultFile, resultFiles } from './process/result-files.ts';
import { SharedProgress } from './shared-progress.ts';
import { copyOutputs } from './upload/copy-outputs.ts';
import { storeOutputs } from './upload/store-outputs.ts';

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
  /** Whether a run takes the results of a twin. */
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

/** How an attempt comes to its end where nothing has failed. */
export type AttemptEnd =
  /** The results were made, or taken from a twin without the use of any backend. */
  | { readonly kind: 'made' | 'taken' }
  /** The tasks wait for the run of a twin; their own is gone. */
  | { readonly kind: 'joined' }
  /** The run is to be where it was before the attempt. */
  | { readonly kind: 'undone'; readonly reason: string };

/**
 * One attempt of a run, from its source to its stored result. It is made ready in front of a backend
 * whose GPU may still work on the run before, and runs on that one or on another that falls idle
 * first. Where a dead gateway left the attempt with a prompt on a backend, it goes on from there.
 *
 * @throws GatewayError for what went wrong; ClaimLostError when the run is no longer ours; the signal's
 *   reason when it aborts. Whoever calls decides what becomes of the run.
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
    leftBehind(attempt, workflow) ??
    (await journal.run(
      'download',
      (report) => prepare(attempt, workflow, report),
      ({ sources }) => downloaded(sources),
    ));

  if (ready.kind === 'joined') return ready;
  if (ready.kind === 'twin') return await take(attempt, ready.twin);

  if (!(await takeGpu(attempt, ready))) return undone('No backend takes it at present');

  const made = await journal.run(
    'process',
    (report) => process(attempt, workflow, ready, report),
    () => 'Processing complete',
  );
  if (made.kind === 'undone') return made;

  return await keep(attempt, ready, made.files);
}

function undone(reason: string): AttemptEnd & { kind: 'undone' } {
  return { kind: 'undone', reason };
}

/** Waits for a GPU: that of its backend or of another which takes its inputs. `false`: there is none. */
async function takeGpu({ seat, log, signal }: Attempt, ready: Ready): Promise<boolean> {
  const { label: from } = seat.backend;
  try {
    await seat.takeGpu(signal, (backend) => takesAll(backend, ready));
  } catch (error) {
    if (error instanceof SeatLostError) return false;
    throw error;
  }
  if (seat.backend.label !== from) log.moved(from);
  return true;
}

/** The version that the run began with. */
async function workflowOf({ journal, workflows }: Attempt): Promise<Workflow> {
  const { run } = journal.claim;
  await workflows.load([run]);
  const workflow = workflows.versionOf(run);
  if (!workflow) throw new GatewayError('workflow_unknown', `Workflow ${run.workflow} is gone`);
  return workflow;
}

/** A run of which nothing is missing but a GPU. */
type Ready = LeftBehind | Prepared;

/** A prompt that a dead gateway left on the backend. */
interface LeftBehind extends ReadyPrompt {
  readonly kind: 'left-behind';
}

interface Prepared extends ReadyPrompt {
  readonly kind: 'prepared';
  readonly sources: Sources;
  /** Where the inputs are by now, and under which names. */
  readonly staged: StagedInputs;
}

interface ReadyPrompt {
  readonly promptId: string;
  /** What the main input is; `null` where the workflow has none. */
  readonly input: MediaInfo | null;
  /** How the main output gets its size. */
  readonly size: SizePlan;
}

/** By the input that they are for, the main one's first. */
type Sources = ReadonlyMap<string, AcquiredSource>;

interface StagedInputs {
  readonly backend: Backend;
  /** By the input that they are for. */
  readonly files: Readonly<Record<string, string>>;
}

/** Whether the backend takes inputs so large; the inputs of a prompt are on its backend already. */
function takesAll(backend: Backend, ready: Ready): boolean {
  if (ready.kind === 'left-behind') return true;
  return !ready.sources.values().some(({ bytes }) => !backend.inputs.takes(bytes));
}

function leftBehind({ journal }: Attempt, workflow: Workflow): LeftBehind | null {
  const { attempt, run } = journal.claim;
  const { promptId, input } = attempt;
  if (promptId === null) return null;
  return { kind: 'left-behind', promptId, input, size: planSize(input, workflow, run.size) };
}

/**
 * Brings the sources to our disk, and on to the backend in front of which the run waits, unless there is a
 * twin.
 */
async function prepare(
  attempt: Attempt,
  workflow: Workflow,
  report: ReportProgress,
): Promise<Prepared | ({ readonly sources: Sources } & (JoinedEnd | WithTwin))> {
  const { journal, seat } = attempt;
  const { run } = journal.claim;
  const progress = new SharedProgress(report, run.sources.length);
  const sources = new Map(
    await Promise.all(
      run.sources.map(async (source, index) => {
        const acquired = await acquire(attempt, workflow, source, progress.part(index));
        return [source.input, acquired] as const;
      }),
    ),
  );
  const [main] = workflow.inputs;
  const input = (main && sources.get(main.name)?.info) ?? null;
  // Whether the workflow can give the size that was asked for is known by now.
  const size = planSize(input, workflow, run.size);
  const role = await roleAmongTwins(attempt, sources);
  if (role.kind === 'joined') return { sources, kind: 'joined' };
  if (role.kind === 'takes') return { sources, kind: 'twin', twin: role.twin };
  const promptId = randomUUID();
  const staged = await stage(attempt, { sources, input, promptId }, seat.backend);
  return { kind: 'prepared', sources, input, promptId, size, staged };
}

type JoinedEnd = AttemptEnd & { readonly kind: 'joined' };

interface WithTwin {
  readonly kind: 'twin';
  readonly twin: Twin;
}

/** What the run is to its twins, its sources being here. One that can have none leads as well. */
async function roleAmongTwins(attempt: Attempt, sources: Sources): Promise<TwinRole> {
  const { journal } = attempt;
  const { run, task } = journal.claim;
  if (!mayShare(attempt)) return { kind: 'leads' };
  const hashes = [...sources].map(([name, { sha256 }]) => [name, sha256 ?? ''] as const);
  const fingerprint = fingerprintOf({ ...run, delivery: task.delivery }, new Map(hashes));
  if (fingerprint !== null && fingerprint === run.fingerprint) return { kind: 'leads' };
  // Its source is another by now than that of the tasks which have joined it.
  await journal.separateOthers();
  return fingerprint === null ? { kind: 'leads' } : await journal.seekTwin(fingerprint);
}

/** Whether the run looks for twins; one that others have joined does wherever it is. */
function mayShare({ coalesces, journal }: Attempt): boolean {
  return coalesces || journal.claim.run.fingerprint !== null;
}

async function acquire(
  attempt: Attempt,
  workflow: Workflow,
  { input: name, url }: Source,
  report: ReportProgress,
): Promise<AcquiredSource> {
  const { journal, spool, downloads, tempo, signal } = attempt;
  const input = workflow.inputs.find((each) => each.name === name);
  const kind = input?.kind ?? journal.claim.run.kind;
  const owner = journal.claim.attempt.id;
  const onWaiting = () => report({ progress: 0, detail: 'Waiting for room on the disk' });
  return await inTurn(downloads, signal, () =>
    waitingForRoom({ spool, owner, name, onWaiting, tempo: tempo.spool }, signal, async () => {
      await spool.room(owner, signal);
      const file = spool.file(owner, name);
      const { limits = {} } = workflow;
      const wanted = { url, kind, limits, wantsSha256: mayShare(attempt), ...file };
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
  { sources, input, promptId }: Pick<Prepared, 'sources' | 'input' | 'promptId'>,
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
  ready: Ready,
  report: ReportProgress,
): Promise<{ kind: 'made'; files: ResultFile[] } | (AttemptEnd & { kind: 'undone' })> {
  const { journal, seat, stats, tempo, signal } = attempt;
  const { run, attempt: row } = journal.claim;
  const isAdopted = ready.kind === 'left-behind';
  const posted = isAdopted ? null : await submit(attempt, workflow, ready);
  if (posted === 'too late') return undone('The leases may have run out');
  const startedAt = performance.now();
  const elapsedMs = row.postedAt ? Date.now() - row.postedAt.getTime() : 0;
  const freed = () => {
    if (!isAdopted) recordGpuTime(attempt, performance.now() - startedAt);
    seat.release();
  };
  const awaited = {
    promptId: ready.promptId,
    prompt: posted?.prompt ?? null,
    workflow: run.workflow,
    isFresh: posted?.isFresh ?? false,
    learnedMs: learned(stats, run.workflow),
    leftMs: run.runTimeoutMs === null ? null : run.runTimeoutMs - elapsedMs,
    onProgress: (progress: Parameters<ReportProgress>[0]) => {
      reached('prompt-running');
      report(progress);
    },
    onGpuFree: once(freed),
  };
  try {
    const files = await awaitPrompt(seat.backend, awaited, tempo.prompt, signal);
    return { kind: 'made', files: resultFiles(workflow, files, folderOf(journal)) };
  } catch (error) {
    const isGone = error instanceof GatewayError && error.code === 'prompt_lost';
    if (isGone && isAdopted && row.postedAt === null) return undone('Its prompt was never posted');
    throw error;
  }
}

/** Posts the prompt to the backend that has the GPU. */
async function submit(
  attempt: Attempt,
  workflow: Workflow,
  ready: Prepared,
): Promise<{ prompt: Prompt; isFresh: boolean } | 'too late'> {
  const { journal, spool, seat, lease, signal } = attempt;
  const { run } = journal.claim;
  const { backend } = seat;
  let { staged } = ready;
  if (staged.backend !== backend) {
    // First: two servers may have one folder.
    await staged.backend.inputs.remove(folderOf(journal));
    staged = await stage(attempt, ready, backend);
  }
  const { files } = staged;
  const { size } = ready;
  const folder = folderOf(journal);
  const prompt = bind(workflow, { files, folder, arguments: run.arguments, size });

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

/** What later runs, here and elsewhere, are measured by. */
function recordGpuTime({ journal, seat }: Attempt, ms: number): void {
  journal.gpuTime(ms);
  seat.backend.runTimes.add(journal.claim.run.workflow, ms);
}

/** Completes the run with what its twin has stored. */
async function take(attempt: Attempt, twin: Twin): Promise<AttemptEnd> {
  const { journal, store, uploads, onStoring, signal } = attempt;
  const { task, attempt: row } = journal.claim;
  journal.skip('process', 'The result of an identical task was taken');
  const to = { ...task, attempt: row.number };
  const copy = () => copyOutputs(store, twin, to, onStoring, signal);
  const outputs = await journal.run(
    'upload',
    () => inTurn(uploads, signal, copy),
    (copies) => `Copied, ${megabytes(bytesOf(copies ?? []))}`,
  );
  if (!outputs) {
    await journal.forgetTwins();
    return undone(`The results of the identical task ${twin.taskId} cannot be had`);
  }
  reached('stored');
  await deliver(attempt, outputs, 'taken');
  return { kind: 'taken' };
}

/** Streams the result into the store, while the next run has the GPU, and completes the run. */
async function keep(
  attempt: Attempt,
  { input, size }: Ready,
  files: readonly ResultFile[],
): Promise<AttemptEnd> {
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
        size,
        inTurn: (work) => inTurn(uploads, signal, work),
        onStoring,
        report,
        signal,
      });
    },
    (outputs) => `Upload complete, ${megabytes(bytesOf(outputs))}`,
  );
  reached('stored');
  await deliver(attempt, outputs, 'made');
  await seat.backend.inputs.remove(folderOf(journal));
  // The history is kept in the server's memory; that it cannot be cleared is no reason to fail.
  const promptId = journal.postedPromptId;
  if (promptId) await client.forget(promptId, signal).catch(() => {});
  return { kind: 'made' };
}

/**
 * Completes the run: its first task has the outputs, and each other one that has come to wait for it copies
 * of its own.
 */
async function deliver(
  { journal, seat, store, uploads, onStoring, signal }: Attempt,
  outputs: readonly TaskOutput[],
  results: 'made' | 'taken',
): Promise<void> {
  const { task, attempt } = journal.claim;
  const deliveries = new Map([[task.id, outputs]]);
  const body = { backend: seat.backend.label, results };
  for (;;) {
    const completion = await journal.complete(deliveries, body);
    if (completion.kind === 'completed') {
      const isWanted = completion.taskIds.includes(task.id);
      // The task was canceled while others wait for the same: they have copies.
      if (!isWanted)
        await Promise.allSettled(keysOf(outputs).map((key) => store.delete(key, signal)));
      return;
    }
    for (const sharer of completion.missing) {
      const to = { ...sharer, attempt: attempt.number };
      const made = { taskId: task.id, outputs };
      const copies = await inTurn(uploads, signal, () =>
        copyOutputs(store, made, to, onStoring, signal),
      );
      if (copies) deliveries.set(sharer.id, copies);
      else await journal.separate([sharer.id]);
    }
  }
}

function keysOf(outputs: readonly TaskOutput[]): string[] {
  return outputs.flatMap(({ key, thumbnailKey }) => [key, ...(thumbnailKey ? [thumbnailKey] : [])]);
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
