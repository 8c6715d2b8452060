import { GatewayError } from '../core/errors.ts';
import { rangeNotSatisfiable } from './errors.ts';

/** All that is kept of a request that failed; never its headers, its address or its parameters. */
export interface BucketFailure {
  /** The service's own word (`AccessDenied`), the network's (`ECONNRESET`), or one of ours. */
  readonly code: string;
  /** The HTTP status, or `null` when there was no answer. */
  readonly status: number | null;
  /** What the service's support asks for. */
  readonly requestId: string | null;
}

export const deadlinePassed = 'DeadlinePassed';
export const checksumMismatch = 'ChecksumMismatch';
/** What AWS's SDK calls it, too. */
export const noCredentials = 'CredentialsProviderError';

/** Codes of OSS and of S3 for credentials that were good once. */
const outdated = ['SecurityTokenExpired', 'InvalidSecurityToken', 'ExpiredToken', 'InvalidToken'];
/** The service compared a checksum itself. */
const badDigests = ['BadDigest', 'XAmzContentSHA256Mismatch'];

export class BucketError extends GatewayError {
  declare readonly detail: BucketFailure;

  constructor(failure: BucketFailure) {
    super('storage_failed', messageOf(failure), { detail: failure });
  }

  /** Another try may succeed. */
  get isTransient(): boolean {
    const { status, code } = this.detail;
    if (this.isMismatch || code === 'RequestTimeout') return true;
    return status === null || status === 429 || status >= 500;
  }

  /** The work may have been done, and only the answer lost; a repeat then finds its upload gone. */
  get isUncertain(): boolean {
    const { status, code } = this.detail;
    return status === null || status >= 500 || code === 'NoSuchUpload';
  }

  get isMissing(): boolean {
    return this.detail.status === 404 && this.detail.code !== 'NoSuchBucket';
  }

  get isMismatch(): boolean {
    return this.detail.code === checksumMismatch || badDigests.includes(this.detail.code);
  }

  /** The credentials have run out; fresh ones may be had. */
  get isOutdated(): boolean {
    return outdated.includes(this.detail.code);
  }

  /** The service has no such request, or does not let us make it. */
  get isNotForUs(): boolean {
    const { status } = this.detail;
    return status === 403 || status === 405 || status === 501;
  }
}

/** Whether a request ended because its time was over. */
export function isDeadline(error: unknown): boolean {
  if (error instanceof BucketError) return error.detail.code === deadlinePassed;
  return error instanceof Error && error.name === deadlinePassed;
}

/** What a service's client threw. Its errors carry parameters of the request, so they are not kept. */
export function toBucketError(thrown: unknown): GatewayError {
  if (thrown instanceof GatewayError) return thrown;
  const error = thrown as ClientError;
  const status = error.status ?? error.$metadata?.httpStatusCode ?? null;
  if (status === 416) return rangeNotSatisfiable();
  return new BucketError({
    code: String(error.code ?? error.name),
    // `ali-oss` marks by -1 that there was no answer.
    status: status !== null && status > 0 ? status : null,
    requestId: error.requestId ?? error.$metadata?.requestId ?? null,
  });
}

/** As `ali-oss` and AWS's SDK throw them. */
interface ClientError {
  readonly name?: string;
  readonly code?: string;
  readonly status?: number;
  readonly requestId?: string;
  readonly $metadata?: { readonly httpStatusCode?: number; readonly requestId?: string };
}

/** In words for a client, who can do nothing but tell the operator. */
function messageOf({ code, status }: BucketFailure): string {
  if (code === deadlinePassed) return 'The object storage did not answer in time';
  if (code === checksumMismatch || badDigests.includes(code))
    return 'The object storage received other bytes than were sent';
  if (code === 'RequestTimeTooSkewed') {
    return 'The object storage refused the gateway: their clocks differ too much';
  }
  if (code === noCredentials) return 'The gateway finds no credentials for the object storage';
  if (code === 'SecurityTokenExpired' || code === 'ExpiredToken') {
    return 'The object storage refused the gateway: its credentials have expired';
  }
  if (code === 'NoSuchBucket') return 'The bucket that keeps the results does not exist';
  if (status === null) return 'The object storage cannot be reached';
  if (status === 401 || status === 403) {
    return "The object storage refused the gateway's credentials or their permissions";
  }
  if (status === 429 || status >= 500) return 'The object storage is failing or too busy';
  return 'The object storage refused a request of the gateway';
}
