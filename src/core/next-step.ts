import type { PastAttempt } from './attempt.ts';
import { backoffMs, withJitter } from './backoff.ts';
import type { ErrorCode, GatewayError } from './errors.ts';
import type { StageName } from './stage.ts';
import type { TaskError } from './task.ts';
import type { Tempo } from './tempo.ts';

/** What becomes of a task whose attempt failed. */
export type NextStep =
  | { readonly kind: 'fail'; readonly isPoison?: boolean }
  | {
      readonly kind: 'retry';
      readonly afterMs: number;
      /** On another backend, where there is one that can. */
      readonly elsewhere: boolean;
      /** Whether it is one of the attempts that a task has. */
      readonly counts: boolean;
    };

/**
 * What a failure says of the backend. `none`: nothing. `unable`: it cannot run this workflow.
 * `crowded`: its memory should be freed. `suspect`: a few of these in a row and it is no longer
 * trusted. `blamed`: the same, once the task has succeeded elsewhere. `broken`: it is not trusted from
 * now on.
 */
export type Verdict = 'none' | 'unable' | 'crowded' | 'suspect' | 'blamed' | 'broken';

/** How one kind of failure is dealt with. */
export interface FailureRule {
  /**
   * Attempts in all; `most` stands for `MAX_ATTEMPTS`, `each` for one on every backend, `any` for as
   * many as it takes.
   */
  readonly attempts: number | 'most' | 'each' | 'any';
  readonly elsewhere: boolean;
  readonly verdict: Verdict;
}

export interface RetryPolicy {
  readonly maxAttempts: number;
  readonly tempo: Tempo['retry'];
}

/** `docs/failures.md` says why; a test compares the two. */
export const failureRules: Partial<Record<ErrorCode, FailureRule>> = {
  source_interrupted: { attempts: 'most', elsewhere: false, verdict: 'none' },
  workflow_unsupported: { attempts: 'each', elsewhere: true, verdict: 'unable' },
  prompt_rejected: { attempts: 2, elsewhere: true, verdict: 'none' },
  backend_upload_refused: { attempts: 'each', elsewhere: true, verdict: 'none' },
  out_of_memory: { attempts: 2, elsewhere: true, verdict: 'crowded' },
  execution_failed: { attempts: 2, elsewhere: true, verdict: 'blamed' },
  execution_interrupted: { attempts: 'most', elsewhere: false, verdict: 'none' },
  output_missing: { attempts: 2, elsewhere: true, verdict: 'blamed' },
  output_truncated: { attempts: 2, elsewhere: true, verdict: 'suspect' },
  output_broken: { attempts: 2, elsewhere: true, verdict: 'blamed' },
  backend_unreachable: { attempts: 'most', elsewhere: true, verdict: 'suspect' },
  backend_failed: { attempts: 'most', elsewhere: true, verdict: 'suspect' },
  prompt_lost: { attempts: 'most', elsewhere: true, verdict: 'suspect' },
  backend_stalled: { attempts: 'most', elsewhere: true, verdict: 'broken' },
  backend_wedged: { attempts: 'most', elsewhere: true, verdict: 'broken' },
  task_poisonous: { attempts: 1, elsewhere: false, verdict: 'none' },
  spool_full: { attempts: 'any', elsewhere: false, verdict: 'none' },
  source_lost: { attempts: 1, elsewhere: false, verdict: 'none' },
  storage_full: { attempts: 1, elsewhere: false, verdict: 'none' },
  storage_failed: { attempts: 1, elsewhere: false, verdict: 'none' },
  outputs_too_many: { attempts: 1, elsewhere: false, verdict: 'none' },
  workflow_invalid: { attempts: 1, elsewhere: false, verdict: 'none' },
  workflow_unavailable: { attempts: 1, elsewhere: false, verdict: 'none' },
  attempts_exhausted: { attempts: 1, elsewhere: false, verdict: 'none' },
  internal: { attempts: 2, elsewhere: false, verdict: 'none' },
};

/** What the client did wrong, or what the source is, stays wrong. */
const atOnce: FailureRule = { attempts: 1, elsewhere: false, verdict: 'none' };

/** A task under which this many servers died is not given a third. */
const deadlyKills = 2;

export function ruleOf(code: ErrorCode): FailureRule {
  return failureRules[code] ?? atOnce;
}

/** What is not supported of one source leaves the server able to run the workflow for others. */
const ofSource: FailureRule = { attempts: 2, elsewhere: true, verdict: 'none' };

export function ruleFor({ code, field }: Pick<GatewayError, 'code' | 'field'>): FailureRule {
  return code === 'workflow_unsupported' && field !== undefined ? ofSource : ruleOf(code);
}

/**
 * Whether a failure follows from what only the first of a run's tasks has asked for: its sources, or its limit
 * of time. It says nothing of the other tasks that share the run.
 */
export function isOfFirstTask({ stage, code }: Pick<TaskError, 'stage' | 'code'>): boolean {
  return stage === 'download' || code === 'run_timeout';
}

export interface FailedAttempt {
  readonly failure: GatewayError;
  readonly stage: StageName | null;
  /** How often the task was tried again before. */
  readonly retries: number;
  readonly past: readonly PastAttempt[];
  /** The backends that are left, which could run the workflow and take its input. */
  readonly others: Others;
}

/** `away`: at present none of them takes tasks, but one may again. */
export type Others = 'ready' | 'away' | 'none';

/** Decides from the failure, what came before and a random number in [0, 1) alone. */
export function nextStep(attempt: FailedAttempt, random: number, policy: RetryPolicy): NextStep {
  const { failure, retries } = attempt;
  const { attempts, elsewhere } = ruleFor(failure);
  if (attempts === 'each' && attempt.others === 'none') return { kind: 'fail' };
  if (attempts === 'each' && attempt.others === 'ready') {
    return { kind: 'retry', afterMs: 0, elsewhere, counts: false };
  }
  // What it waits for comes when it comes: nothing is gained by asking sooner.
  if (attempts === 'each' || attempts === 'any') {
    const afterMs = Math.round(withJitter(policy.tempo.longestPauseMs, random));
    return { kind: 'retry', afterMs, elsewhere, counts: false };
  }
  if (kills(attempt) >= deadlyKills) return { kind: 'fail', isPoison: true };
  const allowed = attempts === 'most' ? policy.maxAttempts : Math.min(attempts, policy.maxAttempts);
  if (retries + 1 >= allowed) return { kind: 'fail' };
  const afterMs = Math.round(backoffMs(retries, policy.tempo, random));
  return { kind: 'retry', afterMs, elsewhere, counts: true };
}

/** How many servers went down with the task on them. */
function kills({ failure, stage, past }: FailedAttempt): number {
  const all = [...past.map(({ error }) => error), { code: failure.code, stage }];
  return all.filter((each) => each.code === 'prompt_lost' && each.stage === 'process').length;
}
