/**
 * `/api/jobs` of ComfyUI 0.33, which 0.3.64 lacks: the queue and the history in one list, and a
 * cancel that fits every state. Sorting by duration and the filter by workflow are left out.
 */
import type { Executor } from './executor.ts';
import type { PromptQueue } from './prompt-queue.ts';
import { int, PythonError } from './python.ts';
import { json, type Reply } from './reply.ts';
import type { FileReference, HistoryEntry, QueueItem } from './wire.ts';

const statuses = ['pending', 'in_progress', 'completed', 'failed', 'cancelled'] as const;
type JobStatus = (typeof statuses)[number];

interface Job {
  readonly id: string;
  readonly status: JobStatus;
  readonly priority: number;
  readonly create_time?: unknown;
  readonly execution_start_time?: unknown;
  readonly execution_end_time?: unknown;
  readonly execution_error?: unknown;
  readonly outputs_count: number;
  readonly previewable_outputs_count: number;
  readonly preview_output?: unknown;
}

export function listJobs(queue: PromptQueue, query: URLSearchParams): Reply {
  const asked = (query.get('status') ?? '').split(',').map((each) => each.trim().toLowerCase());
  const wanted = asked.filter((each) => each !== '');
  const invalid = wanted.filter((each) => !isStatus(each));
  if (invalid.length > 0) {
    const valid = statuses.join(', ');
    return refuse(`Invalid status value(s): ${invalid.join(', ')}. Valid values: ${valid}`);
  }
  const order = (query.get('sort_order') ?? 'desc').toLowerCase();
  if (order !== 'asc' && order !== 'desc') return refuse("sort_order must be 'asc' or 'desc'");
  const limit = wholeNumber(query, 'limit');
  if (Number.isNaN(limit)) return refuse('limit must be an integer');
  if (limit !== null && limit <= 0) return refuse('limit must be a positive integer');
  const offset = wholeNumber(query, 'offset') ?? 0;
  if (Number.isNaN(offset)) return refuse('offset must be an integer');

  const jobs = allJobs(queue)
    .filter(({ status }) => wanted.length === 0 || wanted.includes(status))
    .toSorted((a, b) =>
      order === 'asc' ? createdAt(a) - createdAt(b) : createdAt(b) - createdAt(a),
    );
  const start = Math.max(0, offset);
  const shown = jobs.slice(start, limit === null ? undefined : start + limit);
  const has_more = start + shown.length < jobs.length;
  const pagination = { offset: start, limit, total: jobs.length, has_more };
  return json({ jobs: shown, pagination });
}

export function getJob(queue: PromptQueue, id: string): Reply {
  const entry = queue.historyOf(id);
  if (entry === undefined) {
    const job = queuedJobs(queue).find((each) => each.id === id);
    return job === undefined ? json({ error: 'Job not found' }, 404) : json(job);
  }
  const [, , prompt, extra_data] = entry.prompt;
  return json({
    ...endedJob(id, entry),
    outputs: entry.outputs,
    execution_status: entry.status,
    workflow: { prompt, extra_data },
  });
}

/** Takes a pending prompt out, interrupts the running one, and leaves the others as they are. */
export function cancelJob(queue: PromptQueue, executor: Executor, id: string): Reply {
  const isRunning = queue.running.some((item) => item[1] === id);
  if (isRunning) executor.interrupt();
  return json({ cancelled: isRunning || queue.delete(id) });
}

function allJobs(queue: PromptQueue): Job[] {
  const ended = Object.entries(queue.listHistory(null, -1));
  return [...queuedJobs(queue), ...ended.map(([id, entry]) => endedJob(id, entry))];
}

function queuedJobs({ running, pending }: PromptQueue): Job[] {
  return [
    ...running.map((item) => queuedJob(item, 'in_progress')),
    ...pending.map((item) => queuedJob(item, 'pending')),
  ];
}

function queuedJob([priority, id, , extraData]: QueueItem, status: JobStatus): Job {
  const { create_time } = extraData;
  return { id, status, priority, create_time, outputs_count: 0, previewable_outputs_count: 0 };
}

function endedJob(id: string, { prompt, outputs, status }: HistoryEntry): Job {
  const [priority, , , extraData] = prompt;
  const said = new Map(status.messages);
  const end = said.get('execution_success') ?? said.get('execution_error');
  const interruption = said.get('execution_interrupted');
  const files = filesOf(outputs);
  return {
    id,
    status: status.completed ? 'completed' : interruption ? 'cancelled' : 'failed',
    priority,
    create_time: extraData.create_time,
    execution_start_time: said.get('execution_start')?.timestamp,
    execution_end_time: (interruption ?? end)?.timestamp,
    execution_error: said.get('execution_error'),
    outputs_count: files.length,
    previewable_outputs_count: files.length,
    preview_output: files.find(({ type }) => type === 'output') ?? files[0],
  };
}

/** Lists but `animated`, which is a mere flag, are files. */
function filesOf(outputs: Record<string, unknown>) {
  return Object.entries(outputs).flatMap(([nodeId, shown]) =>
    Object.entries(shown as Record<string, FileReference[]>)
      .filter(([mediaType]) => mediaType !== 'animated')
      .flatMap(([mediaType, files]) => files.map((file) => ({ ...file, nodeId, mediaType }))),
  );
}

function createdAt({ create_time }: Job): number {
  return typeof create_time === 'number' ? create_time : 0;
}

/** `null` where it is not given, `NaN` where it is no whole number. */
function wholeNumber(query: URLSearchParams, name: string): number | null {
  const value = query.get(name);
  if (value === null) return null;
  try {
    return int(value);
  } catch (error) {
    if (error instanceof PythonError) return Number.NaN;
    throw error;
  }
}

function isStatus(value: string): value is JobStatus {
  return (statuses as readonly string[]).includes(value);
}

function refuse(error: string): Reply {
  return json({ error }, 400);
}
