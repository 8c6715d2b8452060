import type { QuotaState, UsedUp } from './quota.ts';

/**
 * The errors that the gateway knows. A code says what went wrong in a word that never changes;
 * its fault says whose it is, and with that how loudly to log it and whether another try elsewhere
 * can help. No HTTP status stands here: each dialect has its own table.
 */

/** Who has to mend it: the caller, the owner of the source, a ComfyUI server, or we. */
export type Fault = 'client' | 'source' | 'backend' | 'gateway';

const catalogue = {
  // What a caller asked for.
  invalid_request: 'client',
  not_found: 'client',
  method_not_allowed: 'client',
  unauthorized: 'client',
  forbidden: 'client',
  host_refused: 'client',
  origin_refused: 'client',
  body_too_large: 'client',
  content_type_unsupported: 'client',
  task_not_found: 'client',
  task_already_ended: 'client',
  workflow_unknown: 'client',
  workflow_mismatch: 'client',
  object_not_found: 'client',
  upload_not_found: 'client',
  target_refused: 'client',
  target_failed: 'client',
  queue_timeout: 'client',
  run_timeout: 'client',
  backend_unknown: 'client',
  backend_exists: 'client',
  backend_fixed: 'client',
  workflows_read_only: 'client',
  key_unknown: 'client',
  key_exists: 'client',
  limit_exceeded: 'client',
  // What the source turned out to be.
  source_invalid: 'source',
  source_refused: 'source',
  source_unreachable: 'source',
  source_not_found: 'source',
  source_denied: 'source',
  source_failed: 'source',
  source_timeout: 'source',
  source_too_large: 'source',
  source_empty: 'source',
  source_interrupted: 'source',
  media_unsupported: 'source',
  media_corrupt: 'source',
  media_mismatch: 'source',
  media_too_large: 'source',
  // What a ComfyUI server did.
  backend_unreachable: 'backend',
  backend_failed: 'backend',
  backend_stalled: 'backend',
  backend_wedged: 'backend',
  backend_upload_refused: 'backend',
  workflow_unsupported: 'backend',
  prompt_rejected: 'backend',
  prompt_lost: 'backend',
  execution_failed: 'backend',
  execution_interrupted: 'backend',
  out_of_memory: 'backend',
  output_missing: 'backend',
  output_truncated: 'backend',
  output_broken: 'backend',
  task_poisonous: 'backend',
  // What is ours.
  workflow_invalid: 'gateway',
  workflow_unavailable: 'gateway',
  storage_failed: 'gateway',
  storage_full: 'gateway',
  source_lost: 'gateway',
  spool_full: 'gateway',
  outputs_too_many: 'gateway',
  queue_full: 'gateway',
  attempts_exhausted: 'gateway',
  unavailable: 'gateway',
  internal: 'gateway',
} as const satisfies Record<string, Fault>;

export type ErrorCode = keyof typeof catalogue;

export const errorCodes = Object.keys(catalogue) as [ErrorCode, ...ErrorCode[]];

export function faultOf(code: ErrorCode): Fault {
  return catalogue[code];
}

export interface GatewayErrorOptions {
  /** For the log only: paths, addresses, tracebacks. Never sent to a client. */
  readonly detail?: unknown;
  /** The request field that is wrong, as the caller wrote it. */
  readonly field?: string;
  /** Of `limit_exceeded`: the quota that is used up. */
  readonly quota?: QuotaState;
  /** After which another try may succeed. */
  readonly retryAfterS?: number;
  readonly cause?: unknown;
}

export class GatewayError extends Error {
  override readonly name = 'GatewayError';
  readonly code: ErrorCode;
  readonly detail: unknown;
  readonly field: string | undefined;
  readonly quota: QuotaState | undefined;
  readonly retryAfterS: number | undefined;

  /** `message` is public: a client reads it, so it holds no path, address or traceback. */
  constructor(code: ErrorCode, message: string, options: GatewayErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.detail = options.detail;
    this.field = options.field;
    this.quota = options.quota;
    this.retryAfterS = options.retryAfterS;
  }

  get fault(): Fault {
    return catalogue[this.code];
  }
}

/** What is wrong with a field of a request, named as the caller wrote it. */
export function invalidField(field: string, reason: string): GatewayError {
  return new GatewayError('invalid_request', `${field}: ${reason}`, { field });
}

/** Also for a task of somebody else: whoever asks learns nothing of it. */
export function taskNotFound(): GatewayError {
  return new GatewayError('task_not_found', 'There is no such task');
}

/** What an unknown throwable becomes at the edge of an attempt or of a request. */
export function toGatewayError(thrown: unknown): GatewayError {
  if (thrown instanceof GatewayError) return thrown;
  return new GatewayError('internal', 'Something went wrong inside the gateway', { cause: thrown });
}

/** A quota is used up; where it does not say when another try may succeed, some of it is free again by then. */
export function limitExceeded({
  message,
  state,
  retryAfterS = state.resetS,
}: UsedUp): GatewayError {
  return new GatewayError('limit_exceeded', message, { quota: state, retryAfterS });
}
