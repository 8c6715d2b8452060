import { setTimeout as delay } from 'node:timers/promises';
import type { Claim } from '../core/attempt.ts';
import { GatewayError } from '../core/errors.ts';
import type { Tempo } from '../core/tempo.ts';
import type { Seat } from '../pool/seat.ts';
import { hasExhaustedStarts } from '../tasks/claim-store.ts';
import { reached } from '../telemetry/milestones.ts';
import type { TaskLog } from '../telemetry/task-log.ts';
import { runAttempt } from './attempt.ts';
import { AttemptJournal, type JournalStores } from './attempt-journal.ts';
import type { AttemptParts } from './attempt-parts.ts';
import { type Interruption, type Outcome, outcomeOf } from './outcome.ts';
import { removeStored, type SettlementParts, settleAttempt } from './settle-attempt.ts';
import type { EndedAttempt } from './settle-failure.ts';

export interface RunningParts extends AttemptParts, SettlementParts, JournalStores {
  readonly tempo: Tempo;
  readonly log: TaskLog;
}

interface Running {
  readonly journal: AttemptJournal;
  /** Its reason is an `Interruption`. */
  readonly abort: AbortController;
  readonly done: Promise<void>;
}

/** The attempts that this gateway works on, each seen through to what becomes of its run. */
export class RunningAttempts {
  readonly #parts: RunningParts;
  /** By the run. */
  readonly #running = new Map<string, Running>();
  readonly #graceOver = new AbortController();

  constructor(parts: RunningParts) {
    this.#parts = parts;
  }

  /** The runs that are worked on. */
  get runIds(): string[] {
    return [...this.#running.keys()];
  }

  /** Whether anything may be begun: not by a gateway that slept, until it has renewed its leases. */
  get mayBegin(): boolean {
    return this.#parts.lease.isSure;
  }

  /** Works on the run from here on; its seat is given up in the end. */
  begin(claim: Claim, seat: Seat): void {
    const { id } = claim.run;
    // It was lost to another gateway, and came back, before a renewal could tell.
    this.lose(id);
    const abort = new AbortController();
    const journal = new AttemptJournal(this.#parts, claim, this.#parts.tempo.journal);
    const done = this.#attempt(journal, seat, abort.signal).finally(() => {
      // By then another attempt of the same run may have begun here.
      if (this.#running.get(id)?.journal === journal) this.#running.delete(id);
    });
    this.#running.set(id, { journal, abort, done });
  }

  /** Gives a claim back that nothing was done for. */
  async giveBack(claim: Claim): Promise<void> {
    await this.#parts.attempts.handBack(claim, false);
  }

  /** Stops work on a run that is no longer ours. */
  lose(runId: string): void {
    const reason: Interruption = 'lost';
    this.#running.get(runId)?.abort.abort(reason);
  }

  /**
   * Lets go of everything, so that other gateways can go on with it: at once of what waits or runs, and
   * after `graceMs` of results that are on their way to the store and of prompts that are withdrawn. A link that is
   * being read may not be good again: its task is let go when it was read, or after that time.
   */
  async detach(graceMs: number): Promise<void> {
    const { sources } = this.#parts;
    const reason: Interruption = 'stopping';
    const all = [...this.#running];
    const grace = new AbortController();
    const isOver = delay(graceMs, undefined, { signal: grace.signal }).then(
      () => this.#graceOver.abort(),
      () => {},
    );
    await Promise.all(
      all.map(async ([runId, { journal, abort, done }]) => {
        if (journal.stage === 'upload') await Promise.race([done, isOver]);
        if (journal.stage === 'download') await Promise.race([sources.atRest(runId), isOver]);
        abort.abort(reason);
        await done;
      }),
    );
    grace.abort();
  }

  /** Runs the attempt and settles its run. Never throws. */
  async #attempt(journal: AttemptJournal, seat: Seat, signal: AbortSignal): Promise<void> {
    const log = this.#parts.log.attempt(journal.claim, seat);
    const ended = { journal, seat, log };
    const stored: string[] = [];
    using _seat = seat;
    const outcome = await this.#outcome(ended, (key) => void stored.push(key), signal);
    const { signal: graceOver } = this.#graceOver;
    await settleAttempt(this.#parts, ended, outcome, graceOver);
    if (outcome.kind !== 'made' && outcome.kind !== 'taken')
      await removeStored(this.#parts, ended, stored, graceOver);
  }

  async #outcome(
    ended: EndedAttempt,
    onStoring: (key: string) => void,
    signal: AbortSignal,
  ): Promise<Outcome> {
    try {
      ended.log.started();
      reached('claimed');
      if (hasExhaustedStarts(ended.journal.claim)) throw exhausted();
      return await runAttempt({ ...this.#parts, ...ended, onStoring, signal });
    } catch (thrown) {
      return outcomeOf(thrown, signal);
    }
  }
}

function exhausted(): GatewayError {
  return new GatewayError(
    'attempts_exhausted',
    'The task was begun several times and never came to an end',
  );
}
