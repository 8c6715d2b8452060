/** Tasks of one workflow that have not ended. */
export interface OpenWork {
  /** Those that may be begun. */
  readonly pending: number;
  readonly processing: number;
  /** What one takes on a GPU, milliseconds; `null` before any has run. */
  readonly durationMs: number | null;
}

/**
 * How many servers, the running ones among them, would have done the work within that time,
 * milliseconds. Never more than there are tasks, and one at least where there is any.
 */
export function serversWanted(
  { pending, processing, durationMs }: OpenWork,
  withinMs: number,
): number {
  const open = pending + processing;
  if (open === 0) return 0;
  // One that runs has half of its time before it, on average.
  const workMs = (pending + processing / 2) * (durationMs ?? 0);
  return Math.min(open, Math.max(1, Math.ceil(workMs / withinMs)));
}
