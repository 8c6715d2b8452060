import type { Backend } from '../comfyui/backend.ts';
import { misreading } from '../core/misreading.ts';
import type { Workflow } from '../core/workflow.ts';
import type { Misreads } from '../pool/arrivals.ts';
import type { ReportProgress } from './attempt-journal.ts';
import type { Attempt } from './attempt-parts.ts';
import type { Ready, Sources } from './ready.ts';

/**
 * Waits for a seat in front of a GPU: that which the run was claimed for, or another where its inputs are
 * taken. What the check of the sources finds meanwhile ends the wait.
 */
export async function takeSeat(
  attempt: Attempt,
  workflow: Workflow,
  sources: Sources,
  report: ReportProgress,
): Promise<void> {
  const useless = new AbortController();
  for (const { checked } of sources.values()) checked.catch((error) => useless.abort(error));
  await loggingMoves(attempt, ({ seat, signal }) =>
    seat.takeInFront(
      {
        fits: (backend) => acceptsAll(backend, sources),
        misreads: misreadsOf(attempt, workflow, sources),
        onWaiting: () => report({ progress: 100, detail: 'Downloaded, waiting for a server' }),
      },
      AbortSignal.any([signal, useless.signal]),
    ),
  );
}

/** Waits for a GPU: that of its backend or of another which takes its inputs, and gets no more of them wrong. */
export async function takeGpu(attempt: Attempt, workflow: Workflow, ready: Ready): Promise<void> {
  const misread = ready.kind === 'left-behind' ? null : misreading(workflow, ready.sources);
  const most = misread?.(attempt.seat.backend.version) ?? 0;
  const fits = (backend: Backend) =>
    // The inputs of a prompt are on its backend already.
    ready.kind === 'left-behind' ||
    (acceptsAll(backend, ready.sources) && (misread?.(backend.version) ?? 0) <= most);
  await loggingMoves(attempt, ({ seat, signal }) => seat.takeGpu(signal, fits));
}

/** Says so where the attempt is in front of, or on, another backend than before. */
async function loggingMoves(
  attempt: Attempt,
  take: (attempt: Attempt) => Promise<void>,
): Promise<void> {
  const { seat, log } = attempt;
  const { label: from } = seat.backend;
  await take(attempt);
  if (seat.backend.label !== from) log.moved(from);
}

/** By what it gets: a plain picture may be many times as large as the client's file. */
function acceptsAll(backend: Backend, sources: Sources): boolean {
  return sources.values().every(({ sent }) => backend.inputs.takes(sent.bytes));
}

/** How wrong backends get the sources; `null` where none gets anything wrong. */
function misreadsOf(
  { seat, wholePool }: Attempt,
  workflow: Workflow,
  sources: Sources,
): Misreads | null {
  const misread = misreading(workflow, sources);
  if (misread === null) return null;
  const bytes = Math.max(0, ...sources.values().map(({ sent }) => sent.bytes));
  const than = seat.avoid;
  return {
    by: ({ version }) => misread(version),
    elsewhere: () => wholePool.leastMisread(workflow, misread, { than, bytes }),
  };
}
