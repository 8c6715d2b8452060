import type { Claim, PastAttempt } from '../core/attempt.ts';
import type { StageName, StageProgress } from '../core/stage.ts';
import type { TaskError } from '../core/task.ts';
import type { EventBody } from '../core/task-event.ts';
import type { Tempo } from '../core/tempo.ts';
import { type Warning, type WarningCode, withoutWarnings, withWarning } from '../core/warning.ts';
import { AttemptNews, type PromptRecord } from '../tasks/attempt-news.ts';
import type { AttemptStore, Completion, Deliveries, RetryPlan } from '../tasks/attempt-store.ts';
import type { TwinRole, TwinStore } from '../tasks/twin-store.ts';

export interface JournalStores {
  readonly attempts: AttemptStore;
  readonly twins: TwinStore;
}

export type ReportProgress = (progress: StageProgress) => void;

/**
 * What an attempt does, as it goes on record. What is for people is written beside the work, which
 * does not wait for it; what a successor depends on is waited for. A claim that was lost shows at the
 * next write that is waited for, and before that to whoever renews it.
 */
export class AttemptJournal {
  readonly #store: AttemptStore;
  readonly #twins: TwinStore;
  readonly #tempo: Tempo['journal'];
  #claim: Claim;
  #news = new AttemptNews();
  /** Writes happen one after the other. */
  #written: Promise<void> = Promise.resolve();
  /** When what is new is written, `performance.now()`. */
  #nextWrite: { readonly at: number; readonly timer: NodeJS.Timeout } | null = null;
  #lastWriteAt = Number.NEGATIVE_INFINITY;
  #stage: StageName | null = null;
  #promptId: string | null;
  #isPosted: boolean;

  constructor({ attempts, twins }: JournalStores, claim: Claim, tempo: Tempo['journal']) {
    this.#store = attempts;
    this.#twins = twins;
    this.#tempo = tempo;
    this.#claim = claim;
    this.#promptId = claim.attempt.promptId;
    this.#isPosted = claim.attempt.promptId !== null;
  }

  get claim(): Claim {
    return this.#claim;
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
    this.#news.begin(name);
    this.#writeSoon();
    const result = await work((progress) => this.#offer(name, progress));
    this.#news.finish(name, done(result));
    this.#writeSoon();
    return result;
  }

  /** A stage that is not needed. */
  skip(name: StageName, detail: string): void {
    this.#news.skip(name, detail);
    this.#writeSoon();
  }

  /** Tells the clients of the run's tasks what they should know of its results. */
  warn(warning: Warning): void {
    this.rewarn(new Set(), [warning]);
  }

  /** What these codes have said before is not so any more; this is. */
  rewarn(codes: ReadonlySet<WarningCode>, said: readonly Warning[]): void {
    const { run } = this.#claim;
    const warnings = said.reduce(withWarning, withoutWarnings(run.warnings, codes));
    if (said.length === 0 && warnings.length === run.warnings.length) return;
    this.#claim = { ...this.#claim, run: { ...run, warnings } };
    this.#news.warnings = warnings;
    this.#writeSoon();
  }

  /** Finds out what the run is to its twins. One whose tasks have joined another is gone. */
  async seekTwin(fingerprint: string): Promise<TwinRole> {
    await this.settled();
    const role = await this.#twins.seek(this.#claim, fingerprint);
    this.#claim = { ...this.#claim, run: { ...this.#claim.run, fingerprint } };
    return role;
  }

  /** What the run's twins had stored is gone. */
  async forgetTwins(): Promise<void> {
    const { fingerprint } = this.#claim.run;
    if (fingerprint !== null) await this.#twins.forget(fingerprint);
  }

  /**
   * Leaves the run to its first task: what becomes of its sources says nothing of those of the others. Returns the runs
   * that those have now.
   */
  async separateOthers(): Promise<readonly string[]> {
    // Before it has led, nobody can have joined.
    if (this.#claim.run.fingerprint === null) return [];
    const others = await this.#store.separateOthers(this.#claim);
    this.#claim = { ...this.#claim, run: { ...this.#claim.run, fingerprint: null } };
    return others;
  }

  /** Gives tasks that share the run runs of their own. */
  async separate(taskIds: readonly string[]): Promise<void> {
    await this.#store.separate(this.#claim, taskIds);
  }

  /** When this returns, a successor would find the prompt. */
  async recordPrompt(record: PromptRecord): Promise<void> {
    this.#promptId = record.promptId;
    this.#news.prompt = record;
    await this.#write();
  }

  /** From now on the prompt may be on the backend. */
  posting(): void {
    this.#isPosted = true;
    this.#news.postedAt = performance.now();
    this.#writeSoon();
  }

  /** How long the prompt had the GPU; `isTypical`: whether later runs are measured by it. */
  gpuTime(ms: number, isTypical: boolean): void {
    this.#news.gpu = { ms, isTypical };
    this.#writeSoon();
  }

  async complete(deliveries: Deliveries, body: EventBody): Promise<Completion> {
    await this.#written;
    const news = this.#taken();
    const completion = await this.#store.complete(this.#claim, deliveries, body, news);
    // Nothing was written: it is tried again.
    if (completion.kind === 'incomplete') this.#news = news;
    return completion;
  }

  async fail(error: TaskError): Promise<void> {
    await this.settled();
    await this.#store.fail(this.#claim, error);
  }

  async retry(error: TaskError, plan: RetryPlan): Promise<void> {
    await this.settled();
    await this.#store.retry(this.#claim, error, plan);
  }

  /** Gives the run back, for a prompt that may be on its backend to be adopted. */
  async handBack(): Promise<void> {
    await this.settled();
    await this.#store.handBack(this.#claim, this.#isPosted);
  }

  /** Gives the run back as if this attempt had never been. `avoid`: backends that others go before. */
  async undo(avoid: readonly string[] = []): Promise<void> {
    await this.settled();
    await this.#store.handBack(this.#claim, false, avoid);
  }

  /** The run's attempts that failed before. */
  async past(): Promise<PastAttempt[]> {
    return await this.#store.failed(this.#claim);
  }

  /** Whether clients ended the run. */
  async isCanceled(): Promise<boolean> {
    return await this.#store.isCanceled(this.#claim);
  }

  /** Nothing of the attempt is left on its backend. */
  async close(): Promise<void> {
    await this.#store.close(this.#claim.attempt.id);
  }

  /** Everything is written down that can be, and no write is under way any more. */
  async settled(): Promise<void> {
    await this.#write().catch(() => {});
  }

  #offer(name: StageName, progress: StageProgress): void {
    this.#news.proceed(name, progress);
    const { togetherMs, progressEveryMs } = this.#tempo;
    const sinceMs = performance.now() - this.#lastWriteAt;
    this.#writeIn(Math.max(togetherMs, progressEveryMs - sinceMs));
  }

  #writeSoon(): void {
    this.#writeIn(this.#tempo.togetherMs);
  }

  /** Writes what is new by then, beside the work: a write that fails is no reason to fail a task. */
  #writeIn(ms: number): void {
    const at = performance.now() + ms;
    if (this.#nextWrite && this.#nextWrite.at <= at) return;
    clearTimeout(this.#nextWrite?.timer);
    const timer = setTimeout(() => void this.#write().catch(() => {}), ms);
    this.#nextWrite = { at, timer };
  }

  /** Writes what is new, after what is being written. */
  async #write(): Promise<void> {
    const write = this.#written.then(async () => {
      const news = this.#taken();
      if (!news.isEmpty) await this.#store.record(this.#claim, news);
    });
    this.#written = write.catch(() => {});
    await write;
  }

  #taken(): AttemptNews {
    clearTimeout(this.#nextWrite?.timer);
    this.#nextWrite = null;
    this.#lastWriteAt = performance.now();
    const news = this.#news;
    this.#news = new AttemptNews();
    return news;
  }
}
