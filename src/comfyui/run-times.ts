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

  /** The longest that a last node took of late, milliseconds; `null` while that is not known. */
  endingMs(workflow: string): number | null {
    const endings = this.#endings.get(workflow);
    return endings ? Math.max(...endings) : null;
  }

  /** The median, milliseconds; `null` while the workflow has not run here. */
  expectedMs(workflow: string): number | null {
    const runs = this.#runs.get(workflow)?.toSorted((a, b) => a - b);
    return runs?.[Math.floor(runs.length / 2)] ?? null;
  }
}

function keep(times: Map<string, number[]>, workflow: string, ms: number): void {
  const kept = times.get(workflow) ?? [];
  kept.push(ms);
  if (kept.length > keptRuns) kept.shift();
  times.set(workflow, kept);
}
