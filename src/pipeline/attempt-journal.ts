import type { Claim } from '../core/attempt.ts';
import type { StageName, StageProgress } from '../core/stage.ts';
import type { TaskOutput } from '../core/task.ts';
import type { ClaimStore, PromptRecord } from '../tasks/claim-store.ts';

/** Progress is for people: they need no more than this. */
const writeEveryMs = 500;

export type ReportProgress = (progress: StageProgress) => void;

/** What an attempt does, as it goes on record. Every write throws ClaimLostError when it comes too late. */
export class AttemptJournal {
  readonly claim: Claim;
  readonly #claims: ClaimStore;
  #stage: StageName | null = null;
  #promptId: string | null;

  constructor(claims: ClaimStore, claim: Claim) {
    this.#claims = claims;
    this.claim = claim;
    this.#promptId = claim.attempt.promptId;
  }

  /** The stage that runs, or ran last: where an error came from. */
  get stage(): StageName | null {
    return this.#stage;
  }

  /** The prompt that may be on the backend. */
  get promptId(): string | null {
    return this.#promptId;
  }

  /**
   * Runs a piece of the attempt as a stage: its start, its progress and its end, with what `done`
   * says of the result, are recorded.
   */
  async run<T>(
    name: StageName,
    work: (report: ReportProgress) => Promise<T>,
    done: (result: T) => string,
  ): Promise<T> {
    this.#stage = name;
    // The work does not wait for its record: a GPU may be idle. That the claim was lost shows at the
    // end, and before that to whoever renews it.
    const started = this.#claims.startStage(this.claim, name);
    const writer = new ThrottledWriter(started, (progress) =>
      this.#claims.progressStage(this.claim, name, progress),
    );
    try {
      const result = await work((progress) => writer.offer(progress));
      await started;
      await writer.settle();
      await this.#claims.finishStage(this.claim, name, done(result));
      return result;
    } finally {
      await writer.settle();
    }
  }

  async recordPrompt(record: PromptRecord): Promise<void> {
    this.#promptId = record.promptId;
    await this.#claims.recordPrompt(this.claim, record);
  }

  async complete(output: TaskOutput): Promise<void> {
    await this.#claims.complete(this.claim, output);
  }

  /** Whether it was a client that ended the task. */
  async isCanceled(): Promise<boolean> {
    return await this.#claims.isCanceled(this.claim.task.id);
  }

  /** Gives the task back with or without a prompt on its backend. */
  async handBack(): Promise<void> {
    await this.#claims.handBack(this.claim, this.#promptId);
  }
}

/**
 * Writes the newest of what it is offered, one write at a time and not too often. A write that fails
 * is left out: progress is no reason to fail a task, and a lost claim shows at the stage's end.
 */
class ThrottledWriter {
  readonly #write: (progress: StageProgress) => Promise<void>;
  #writtenAt = 0;
  #writing: Promise<void> | null = null;

  /** Nothing is written before `first` is. */
  constructor(first: Promise<void>, write: (progress: StageProgress) => Promise<void>) {
    this.#write = write;
    this.#follow(first);
  }

  offer(progress: StageProgress): void {
    if (this.#writing || Date.now() - this.#writtenAt < writeEveryMs) return;
    this.#writtenAt = Date.now();
    this.#follow(this.#write(progress));
  }

  #follow(write: Promise<void>): void {
    this.#writing = write
      .catch(() => {})
      .finally(() => {
        this.#writing = null;
      });
  }

  /** No write is under way any more. */
  async settle(): Promise<void> {
    await this.#writing;
  }
}
