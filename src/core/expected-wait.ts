/** Tasks of a workflow that wait, or go before a task that waits. */
export interface Waiting {
  readonly workflow: string;
  readonly count: number;
}

/**
 * How long it takes until so many tasks have been begun, milliseconds; `null` when no backend works or
 * nothing is known of how long one of the workflows takes. `durations` are milliseconds.
 */
export function expectedWaitMs(
  waiting: readonly Waiting[],
  durations: ReadonlyMap<string, number>,
  backends: number,
): number | null {
  if (backends === 0) return null;
  let workMs = 0;
  for (const { workflow, count } of waiting) {
    const ms = count === 0 ? 0 : durations.get(workflow);
    if (ms === undefined) return null;
    workMs += count * ms;
  }
  return Math.round(workMs / backends);
}
