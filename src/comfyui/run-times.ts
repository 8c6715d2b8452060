const keptRuns = 9;

/** How long a backend takes for each workflow, from its last runs. */
export class RunTimes {
  readonly #runs = new Map<string, number[]>();
  readonly #endings = new Map<string, number[]>();

  add(workflow: string, ms: number): void {
    keep(this.#runs, workflow, ms);
  }

  /** How long the last node of a run took. */
  addEnding(workflow: string, ms: number): void {
    keep(this.#endings, workflow, ms);
  }

  /** The median, milliseconds; `null` while the workflow has not run here. */
  expectedMs(workflow: string): number | null {
    return median(this.#runs.get(workflow));
  }

  /**
   * How long its last node takes, as `expectedMs`: a server that collects its garbage just then is heard
   * late, which says nothing of the next time.
   */
  endingMs(workflow: string): number | null {
    return median(this.#endings.get(workflow));
  }
}

function keep(times: Map<string, number[]>, workflow: string, ms: number): void {
  const kept = times.get(workflow) ?? [];
  kept.push(ms);
  if (kept.length > keptRuns) kept.shift();
  times.set(workflow, kept);
}

function median(times: readonly number[] = []): number | null {
  return times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)] ?? null;
}
