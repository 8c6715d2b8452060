import { InputRefusedError } from '../comfyui/errors.ts';
import type { PastAttempt } from '../core/attempt.ts';
import type { GatewayError } from '../core/errors.ts';
import {
  isOfFirstTask,
  type NextStep,
  nextStep,
  type Others,
  type RetryPolicy,
  ruleFor,
  ruleOf,
} from '../core/next-step.ts';
import type { TaskError } from '../core/task.ts';
import type { Tempo } from '../core/tempo.ts';
import type { Workflow } from '../core/workflow.ts';
import type { Pool } from '../pool/pool.ts';
import type { WholePool } from '../pool/whole-pool.ts';
import type { WorkflowRegistry } from '../workflows/registry.ts';
import type { Attempt, AttemptParts } from './attempt-parts.ts';
import { separateOthers } from './download/twin-role.ts';

export interface SettleParts extends Pick<AttemptParts, 'sources' | 'wholePool'> {
  readonly pool: Pool;
  readonly workflows: WorkflowRegistry;
  readonly retryPolicy: RetryPolicy;
  readonly tempo: Pick<Tempo, 'attempt'>;
}

/** An attempt that has come to its end, on the backend of its seat. */
export type EndedAttempt = Pick<Attempt, 'journal' | 'seat' | 'log'>;

/** Decides what becomes of the task, and writes it down. */
export async function settleFailure(
  parts: SettleParts,
  { journal, seat, log }: EndedAttempt,
  failure: GatewayError,
): Promise<void> {
  const { claim, stage } = journal;
  const { workflows, wholePool } = parts;
  const workflow = workflows.versionOf(claim.run);
  const past = await journal.past();
  const tooSmall = failure instanceof InputRefusedError ? refusing(wholePool, failure, past) : null;
  const avoided = [...(tooSmall ?? []), seat.backend.label];
  const others = workflow ? othersFor(wholePool, workflow, tooSmall && avoided) : 'none';
  const next = nextStep(
    { failure, stage, retries: claim.run.retries, past, others },
    Math.random(),
    parts.retryPolicy,
  );
  log.failed(failure, next);
  const error = taskError(failure, next, journal);
  if (next.kind === 'fail') {
    if (isOfFirstTask(error)) await separateOthers({ journal, sources: parts.sources });
    return await journal.fail(error);
  }
  const { afterMs, counts, elsewhere } = next;
  await journal.retry(error, { afterMs, counts, avoid: elsewhere ? avoided : [] });
}

/** Fails the task with nothing of what happened: that could not be written down. */
export async function settlePlainly({ journal }: EndedAttempt): Promise<void> {
  await journal.fail({
    code: 'internal',
    message: 'The gateway could not record how the task failed',
    stage: journal.stage,
    attempt: journal.claim.attempt.number,
  });
}

/**
 * One that is away or drained now may be back in a minute. A task may stand in the queue for it, unless
 * others are there that would take it, and fetch its sources, in vain.
 */
function othersFor(
  wholePool: Pick<WholePool, 'fitness' | 'canRunElsewhere'>,
  workflow: Workflow,
  tooSmall: readonly string[] | null,
): Others {
  if (wholePool.fitness(workflow, tooSmall ?? []).able === 0) return 'none';
  return tooSmall === null || wholePool.canRunElsewhere(workflow, tooSmall) ? 'ready' : 'away';
}

/** The backends that are known not to take the input, by what they say or by what they did. */
function refusing(
  wholePool: Pick<WholePool, 'tooSmallFor'>,
  { bytes, code }: InputRefusedError,
  past: readonly PastAttempt[],
): string[] {
  const refused = past.filter(({ error }) => error.code === code).map(({ backend }) => backend);
  return [...wholePool.tooSmallFor(bytes), ...refused];
}

/** The task came to a good end here; where it had failed before, the fault lay there. */
export async function settleSuccess(
  { pool }: Pick<SettleParts, 'pool'>,
  { journal, seat }: EndedAttempt,
): Promise<void> {
  const { backend } = seat;
  backend.succeeded();
  if (journal.claim.run.retries === 0) return;
  for (const { backend: label, error } of await journal.past()) {
    if (label === backend.label || ruleOf(error.code).verdict !== 'blamed') continue;
    pool.get(label)?.failed('tasks that failed here succeeded elsewhere');
  }
}

/** What the failure says of the backend takes effect at once, whatever becomes of the task. */
export function judgeBackend(
  { workflows, tempo }: Pick<SettleParts, 'workflows' | 'tempo'>,
  { journal, seat }: EndedAttempt,
  failure: GatewayError,
): void {
  const { backend } = seat;
  const workflow = workflows.versionOf(journal.claim.run);
  switch (ruleFor(failure).verdict) {
    case 'unable':
      if (workflow) backend.markUnable(workflow, failure.message);
      break;
    case 'crowded':
      // It is tried elsewhere all the same.
      backend.client
        .freeMemory(AbortSignal.timeout(tempo.attempt.freeMemoryDeadlineMs))
        .catch(() => {});
      break;
    case 'suspect':
      backend.failed(`tasks failed here, the last with ${failure.code}`);
      break;
    case 'broken':
      backend.quarantine(failure.message);
      break;
    default:
  }
}

function taskError(
  failure: GatewayError,
  next: NextStep,
  { claim, stage }: EndedAttempt['journal'],
): TaskError {
  const isPoison = next.kind === 'fail' && next.isPoison === true;
  return {
    code: isPoison ? 'task_poisonous' : failure.code,
    message: isPoison
      ? 'Two ComfyUI servers went down while they worked on the task; it is not tried again'
      : failure.message,
    stage,
    attempt: claim.attempt.number,
  };
}
