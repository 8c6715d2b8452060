import type { Claim } from '../core/attempt.ts';
import type { GatewayError } from '../core/errors.ts';
import type { NextStep } from '../core/next-step.ts';
import type { Logger } from './logger.ts';
import { plainError } from './plain.ts';

/** A seat knows the backend of the moment: an attempt may move before it has a GPU. */
export interface Seated {
  readonly backend: { readonly label: string };
}

/** One function for each thing that happens to an attempt; each line names the backend of its seat. */
export class AttemptLog {
  readonly #logger: Logger;
  readonly #claim: Claim;
  readonly #seat: Seated;
  readonly #clientId: string;

  constructor(logger: Logger, claim: Claim, seat: Seated, clientId: string) {
    this.#logger = logger;
    this.#claim = claim;
    this.#seat = seat;
    this.#clientId = clientId;
  }

  started(): void {
    this.#logger.info(this.#named, 'attempt.started');
  }

  /** Another backend fell idle first. */
  moved(from: string): void {
    this.#logger.info({ ...this.#named, from, to: this.#seat.backend.label }, 'attempt.moved');
  }

  /** What a client or a source did wrong is not our trouble. */
  failed(failure: GatewayError, next: NextStep): void {
    const { code, fault, message, detail, cause } = failure;
    const expected = fault === 'client' || fault === 'source';
    const told = { ...this.#named, code, fault, next, reason: message, detail };
    if (expected) this.#logger.info({ ...told, because: messageOf(cause) }, 'attempt.failed');
    else this.#logger.warn({ ...told, err: cause }, 'attempt.failed');
  }

  detached(): void {
    this.#logger.info(this.#named, 'attempt.detached');
  }

  /** It leaves no trace: its task is as it was before. */
  undone(reason: string): void {
    this.#logger.info({ ...this.#named, reason }, 'attempt.undone');
  }

  claimLost(): void {
    this.#logger.info(this.#named, 'claim.lost');
  }

  withdrawFailed(error: unknown): void {
    this.#logger.warn({ ...this.#named, err: error }, 'prompt.left-behind');
  }

  /** What a failed attempt stored is still there. */
  objectsLeft(error: unknown): void {
    this.#logger.warn({ ...this.#named, err: error }, 'objects.left-behind');
  }

  /** What became of its task could not be written down. */
  unsettled(error: unknown): void {
    this.#logger.error({ ...this.#named, err: error }, 'attempt.unsettled');
  }

  get #named(): Record<string, unknown> {
    const { task, attempt } = this.#claim;
    return {
      task: task.id,
      clientId: this.#clientId,
      attempt: attempt.number,
      backend: this.#seat.backend.label,
    };
  }
}

/** A stack tells nothing of what somebody else did wrong. */
function messageOf(cause: unknown): string | undefined {
  return cause instanceof Error ? plainError(cause).message : undefined;
}
