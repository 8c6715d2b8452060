import type { z } from '@hono/zod-openapi';
import type { BackendView } from '../../../core/backend.ts';
import { type MediaInfo, pictureOf } from '../../../core/media.ts';
import type { Stage } from '../../../core/stage.ts';
import type { QueuePlace, TaskView, WorkflowView } from '../../../tasks/task-service.ts';
import type { IgnoredField } from '../../ignored-fields.ts';
import { linkTo } from '../../link-base.ts';
import { presentPause } from '../../pauses.ts';
import { presentTaskId } from './parse.ts';
import type { stats as statsSchema, taskCreated, task as taskSchema } from './schema.ts';

type TaskBody = z.infer<typeof taskSchema>;
type MediaBody = NonNullable<NonNullable<TaskBody['output']>['metadata']['input']>;
type StatsBody = z.infer<typeof statsSchema>;
type SubmittedBody = z.infer<typeof taskCreated>;

/** When a task is looked at, and what its links begin with. */
export interface Seen {
  readonly now: Date;
  readonly base: string;
}

export function presentTask(
  task: TaskView,
  { now, base }: Seen,
  place: QueuePlace | null = null,
): TaskBody {
  const [main] = task.outputs;
  return {
    task_id: presentTaskId(task.id),
    status: task.state,
    created_at: task.createdAt.toISOString(),
    updated_at: task.updatedAt.toISOString(),
    // Where the client left it to the file, old pages tell pictures from clips by this.
    params: { type: task.kind, ...task.params },
    workflow: task.workflow,
    workflow_hash: task.workflowHash || null,
    inputs: {
      ...Object.fromEntries(task.sources.map(({ input, url }) => [input, url])),
      ...task.arguments,
    },
    stages: task.stages.map((stage) => presentStage(stage, now)),
    output: main ? presentOutput(main, base) : null,
    outputs: task.outputs.map((output) => ({ name: output.name, ...presentOutput(output, base) })),
    text: task.outputs.find(({ text }) => text !== undefined)?.text ?? null,
    warnings: presentWarnings(task),
    cached: task.outputs.some(({ takenFrom }) => takenFrom !== undefined),
    results_removed_at: task.removedAt?.toISOString() ?? null,
    queue: place && {
      position: place.position,
      expected_start: place.expectedStart?.toISOString() ?? null,
      paused: place.pause && presentPause(place.pause),
    },
    // One that waits for an identical task has not failed.
    retry_at: (task.error && task.runAfter)?.toISOString() ?? null,
    error: task.error?.message ?? null,
    error_code: task.error?.code ?? null,
    retries: task.retries,
  };
}

/** As `presentTask`, one of many: their texts may be long. */
export function presentListed(task: TaskView, seen: Seen): TaskBody {
  const outputs = task.outputs.map(({ text: _, ...output }) => output);
  return presentTask({ ...task, outputs }, seen);
}

/** The answer to a request for a task. */
export function presentSubmitted(task: TaskView, ignored: IgnoredField[]): SubmittedBody {
  return {
    status: 'ok',
    task_id: presentTaskId(task.id),
    warnings: presentWarnings(task),
    ignored,
  };
}

function presentWarnings({ warnings }: TaskView): TaskBody['warnings'] {
  return warnings.map(({ code, message }) => ({ code, message }));
}

function presentStage(stage: Stage, now: Date): TaskBody['stages'][number] {
  const { name, state, progress, detail, startedAt, finishedAt } = stage;
  // The database's clock began it and ours, which may be off a little, tells the time so far.
  const elapsedMs = startedAt
    ? Math.max(0, (finishedAt ?? now).getTime() - startedAt.getTime())
    : 0;
  const duration = Math.round(elapsedMs / 10) / 100;
  // Old clients read a number and a text, also of a stage that has not begun.
  return { name, status: state, progress, duration, detail: detail ?? '' };
}

function presentOutput(
  output: TaskView['outputs'][number],
  base: string,
): NonNullable<TaskBody['output']> {
  const { url, thumbnailUrl, size, sha256, contentType, input, output: made, text } = output;
  return {
    url: linkTo(base, url),
    thumbnail_url: thumbnailUrl && linkTo(base, thumbnailUrl),
    size_mb: Math.round((size / 1024 ** 2) * 100) / 100,
    ...(text === undefined ? {} : { text }),
    metadata: {
      ...(made && presentMedia(made)),
      content_type: contentType,
      size_bytes: size,
      sha256,
      input: input && presentMedia(input),
      ...(output.keepsMetadata ? { metadata_kept: true as const } : {}),
      ...(hasAlpha(input) ? { transparency: hasAlpha(made) ? 'kept' : 'dropped' } : {}),
      scale: scaleOf(input, made),
    },
  };
}

/** What a client is told of a picture, a clip or a sound; other facts are for the gateway. */
function presentMedia(info: MediaInfo): MediaBody {
  const { kind, format, durationSeconds } = info;
  const told = { kind, format, duration_seconds: durationSeconds };
  if (info.kind === 'audio') {
    const { codec, channels, sampleRate } = info;
    return { ...told, codec, channels, sample_rate: sampleRate };
  }
  const { width, height, frames, fps } = info;
  const shown = { ...told, width, height, frames, fps };
  if (info.kind === 'image') return shown;
  const { codec, hasAudio, isHdr, isVariableRate, isInterlaced } = info;
  const facts = { hdr: isHdr, variable_rate: isVariableRate, interlaced: isInterlaced };
  return { ...shown, codec, has_audio: hasAudio, ...facts };
}

function scaleOf(input: MediaInfo | null, made: MediaInfo | null): number | null {
  const [from, to] = [pictureOf(input), pictureOf(made)];
  return from && to ? Math.round((to.width / from.width) * 1_000) / 1_000 : null;
}

function hasAlpha(info: MediaInfo | null): boolean {
  return info?.kind === 'image' && info.hasAlpha === true;
}

export function presentBackend(backend: BackendView): StatsBody['pool_status'][number] {
  const { address, gateway, report } = backend;
  return {
    address,
    status: report?.state ?? 'offline',
    last_active: report?.lastActiveAt ? Date.parse(report.lastActiveAt) / 1000 : null,
    version: report?.version ?? null,
    reason: report?.reason ?? 'not reached yet',
    since: report?.since ?? null,
    task_id: report && presentRunning(report),
    next_task_id: report?.nextTask ? presentTaskId(report.nextTask) : null,
    unfetched: report?.unfetched ?? 0,
    warm_workflow: report?.warm ?? null,
    busy_share: report?.busyShare ?? 0,
    devices: (report?.devices ?? []).map(({ name, memoryTotal, memoryFree }) => ({
      name,
      memory_total: memoryTotal,
      memory_free: memoryFree,
    })),
    gateway,
  };
}

/** What old pages show of a busy server is a text, also where its prompt is of no task that may be seen. */
function presentRunning({ task, state }: NonNullable<BackendView['report']>): string | null {
  if (task) return presentTaskId(task);
  return state === 'busy' ? '' : null;
}

export function presentWorkflow(workflow: WorkflowView): StatsBody['workflows'][number] {
  const { name, counts, durationMs, expectedWaitMs, runsOn, of, whyNot, problem } = workflow;
  return {
    name,
    pending: counts.pending,
    processing: counts.processing,
    learned_duration: toSeconds(durationMs),
    expected_wait: toSeconds(expectedWaitMs),
    runs_on: runsOn,
    of,
    why_not: Object.fromEntries(Object.entries(whyNot).map(([at, why]) => [at, [...why]])),
    problem,
  };
}

function toSeconds(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms) / 1_000;
}
