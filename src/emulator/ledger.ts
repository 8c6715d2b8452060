/** What an emulator tells tests and benches about itself. It outlives the emulated process. */

/** A prompt that ran. `lost`: the emulator restarted or closed under it. */
export interface PromptRun {
  readonly id: string;
  /** Milliseconds since 1970, with their fractions: shares of time are computed from them. */
  readonly startedAt: number;
  readonly endedAt: number | null;
  readonly status: 'running' | 'success' | 'error' | 'interrupted' | 'lost';
  /** The first model that its graph asks EmulatorSleep for; empty where it asks for none. */
  readonly model: string;
  /** Whether that model was not there and had to be loaded, the very first load included. */
  readonly loadedModel: boolean;
}

export class Ledger {
  /** Oldest first. A run is replaced when something about it changes. */
  readonly runs: PromptRun[] = [];
  /** How often `POST /free` was called. */
  freed = 0;

  /** Opens a run, and returns what changes it. */
  begin(id: string, model: string): (change: Partial<PromptRun>) => void {
    const run: PromptRun = {
      id,
      startedAt: preciseNow(),
      endedAt: null,
      status: 'running',
      model,
      loadedModel: false,
    };
    const index = this.runs.push(run) - 1;
    return (change) => {
      this.runs[index] = { ...(this.runs[index] as PromptRun), ...change };
    };
  }
}

/** `Date.now()` counts whole milliseconds only. */
export function preciseNow(): number {
  return performance.timeOrigin + performance.now();
}
