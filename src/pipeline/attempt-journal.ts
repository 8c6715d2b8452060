import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Claim, PastAttempt } from '../core/attempt.ts';
import type { StageName, StageProgress } from '../core/stage.ts';
import type { TaskError, TaskOutput } from '../core/task.ts';
import type { AttemptStore, PromptRecord, RetryPlan } from '../tasks/attempt-store.ts';

/** Progress is for people: they need no more than this. */
const writeEveryMs = 500;

export type ReportProgress = (progress: StageProgress) => void;

/**
 * What an attempt does, as it goes on record. What is for people is written beside the work, which
 * does not wait for it; what a successor depends on is waited for. A claim that was lost shows at the
 * next write that is waited for, and before that to whoever renews it.
 */
export class AttemptJournal {
  readonly claim: Claim;
  readonly #store: AttemptStore;
  /** Writes happen one after the other, in the order in which they were asked for. */
  #written: Promise<void> = Promise.resolve();
  #pending = 0;
  #progressAt = 0;
  #stage: StageName | null = null;
  #promptId: string | null;
  #isPosted: boolean;

  constructor(store: AttemptStore, claim: Claim) {
    this.#store = store;
    this.claim = claim;
    this.#promptId = claim.attempt.promptId;
    this.#isPosted = claim.attempt.promptId !== null;
  }

  /** The stage that runs, or ran last: where an error came from. */
  get stage(): StageName | null {
    return this.#stage;
  }

  /** The prompt that may be on the backend; `null` while there can be none. */
  get postedPromptId(): string | null {
    return this.#isPosted ? this.#promptId : null;
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
    this.#beside(() => this.#store.startStage(this.claim, name));
    const result = await work((progress) => this.#offer(name, progress));
    this.#beside(() => this.#store.finishStage(this.claim, name, done(result)));
    return result;
  }

  /** When this returns, a successor would find the prompt. */
  async recordPrompt(record: PromptRecord): Promise<void> {
    this.#promptId = record.promptId;
    await this.#store.recordPrompt(this.claim, record);
  }

  /** From now on the prompt may be on the backend. */
  posting(): void {
    this.#isPosted = true;
    this.#beside(() => this.#store.recordPosting(this.claim));
  }

  gpuTime(ms: number): void {
    this.#beside(() => this.#store.recordGpuTime(this.claim, ms));
  }

  async complete(outputs: readonly TaskOutput[]): Promise<void> {
    await this.settled();
    await this.#store.complete(this.claim, outputs);
  }

  async fail(error: TaskError): Promise<void> {
    await this.settled();
    await this.#store.fail(this.claim, error);
  }

  async retry(error: TaskError, plan: RetryPlan): Promise<void> {
    await this.settled();
    await this.#store.retry(this.claim, error, plan);
  }

  /** Gives the task back, for a prompt that may be on its backend to be adopted. */
  async handBack(): Promise<void> {
    await this.settled();
    await this.#store.handBack(this.claim, this.#isPosted);
  }

  /** Gives the task back as if this attempt had never been. */
  async undo(): Promise<void> {
    await this.settled();
    await this.#store.handBack(this.claim, false);
  }

  /** The task's attempts that failed before. */
  async past(): Promise<PastAttempt[]> {
    return await this.#store.failed(this.claim.task.id);
  }

  /** Whether it was a client that ended the task. */
  async isCanceled(): Promise<boolean> {
    return await this.#store.isCanceled(this.claim.task.id);
  }

  /** Nothing of the attempt is left on its backend. */
  async close(): Promise<void> {
    await this.#store.close(this.claim.attempt.id);
  }

  /** No write is under way any more. */
  async settled(): Promise<void> {
    await this.#written;
  }

  #offer(name: StageName, progress: StageProgress): void {
    if (this.#pending > 0 || Date.now() - this.#progressAt < writeEveryMs) return;
    this.#progressAt = Date.now();
    this.#beside(() => this.#store.progressStage(this.claim, name, progress));
  }

  /**
   * A write that fails is left out: it is no reason to fail a task. It begins when the work, which may
   * be about to give a GPU its next prompt, has something to wait for.
   */
  #beside(write: () => Promise<void>): void {
    this.#pending += 1;
    this.#written = this.#written
      .then(() => nextTurn())
      .then(write)
      .catch(() => {})
      .finally(() => {
        this.#pending -= 1;
      });
  }
}
