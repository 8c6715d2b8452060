const keptRuns = 9;

/** How long a backend takes for each workflow, from its last runs. */
export class RunTimes {
  readonly #runs = new Map<string, number[]>();

  add(workflow: string, ms: number): void {
    const runs = this.#runs.get(workflow) ?? [];
    runs.push(ms);
    if (runs.length > keptRuns) runs.shift();
    this.#runs.set(workflow, runs);
  }

  /** The median, milliseconds; `null` while the workflow has not run here. */
  expectedMs(workflow: string): number | null {
    const runs = this.#runs.get(workflow)?.toSorted((a, b) => a - b);
    return runs?.[Math.floor(runs.length / 2)] ?? null;
  }
}
