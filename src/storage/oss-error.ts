import { GatewayError } from '../core/errors.ts';
import { rangeNotSatisfiable } from './errors.ts';

/** All that is kept of a request that failed; never its headers, its address or its parameters. */
export interface OssFailure {
  /** OSS's own word (`AccessDenied`), the network's (`ECONNRESET`), or one of ours. */
  readonly code: string;
  /** The HTTP status, or `null` when there was no answer. */
  readonly status: number | null;
  /** What the support of OSS asks for. */
  readonly requestId: string | null;
}

export const deadlinePassed = 'DeadlinePassed';
export const checksumMismatch = 'ChecksumMismatch';

export class OssError extends GatewayError {
  declare readonly detail: OssFailure;

  constructor(failure: OssFailure) {
    super('storage_failed', messageOf(failure), { detail: failure });
  }

  /** Another try may succeed. */
  get isTransient(): boolean {
    const { status, code } = this.detail;
    if (code === checksumMismatch || code === 'RequestTimeout') return true;
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
    return this.detail.code === checksumMismatch;
  }
}

/** What `ali-oss` threw. Its errors carry the parameters of the request, so they are not kept. */
export function toOssError(thrown: unknown): GatewayError {
  if (thrown instanceof GatewayError) return thrown;
  const { name, code, status, requestId } = thrown as Partial<Record<string, unknown>>;
  if (status === 416) return rangeNotSatisfiable();
  return new OssError({
    code: String(code ?? name),
    // The client marks by -1 that there was no answer.
    status: typeof status === 'number' && status > 0 ? status : null,
    requestId: typeof requestId === 'string' ? requestId : null,
  });
}

/** In words for a client, who can do nothing but tell the operator. */
function messageOf({ code, status }: OssFailure): string {
  if (code === deadlinePassed) return 'The object storage did not answer in time';
  if (code === checksumMismatch) return 'The object storage received other bytes than were sent';
  if (code === 'RequestTimeTooSkewed') {
    return 'The object storage refused the gateway: their clocks differ too much';
  }
  if (code === 'SecurityTokenExpired') {
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
