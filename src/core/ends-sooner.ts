/** A backend that could take a task later. */
export interface LaterRunner {
  /** How long it still works on what it has, milliseconds. */
  readonly freeInMs: number;
  /** How long it takes for the task, milliseconds. */
  readonly taskMs: number;
}

/**
 * Whether a task that could begin now on a slow backend ends sooner when it waits for a faster one.
 * `ahead` other tasks that wait already have the faster ones first.
 */
export function endsSoonerLater(
  hereMs: number,
  runners: readonly LaterRunner[],
  ahead: number,
): boolean {
  let later = runners;
  for (let left = ahead; ; left -= 1) {
    const [soonest, ...others] = later.toSorted((a, b) => endsInMs(a) - endsInMs(b));
    if (!soonest || endsInMs(soonest) >= hereMs) return false;
    if (left === 0) return true;
    later = [{ ...soonest, freeInMs: endsInMs(soonest) }, ...others];
  }
}

function endsInMs({ freeInMs, taskMs }: LaterRunner): number {
  return freeInMs + taskMs;
}
