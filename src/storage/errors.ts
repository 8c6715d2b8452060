import { GatewayError } from '../core/errors.ts';

/** Reading broke off; one `GatewayError` or another, so that a caller can tell whose fault it is. */
export function sourceBroke(thrown: unknown): GatewayError {
  if (thrown instanceof GatewayError) return thrown;
  return new GatewayError('output_truncated', 'The output broke off before its end', {
    cause: thrown,
  });
}

export function lengthMismatch(expectedBytes: number, actualBytes: number): GatewayError {
  const message =
    actualBytes < expectedBytes
      ? 'The output ended short of its length'
      : 'The output is longer than was announced';
  return new GatewayError('output_truncated', message, { detail: { expectedBytes, actualBytes } });
}

export function sourceTooSlow(cause: unknown): GatewayError {
  return new GatewayError('output_truncated', 'The output came too slowly to be stored in time', {
    cause,
  });
}

export function rangeNotSatisfiable(): GatewayError {
  return new GatewayError('invalid_request', 'The range lies outside of the object', {
    field: 'range',
  });
}

/** What a failed call of `node:fs` becomes. Its paths are not kept: whoever has that of a result may read it. */
export function diskFailed(thrown: unknown): GatewayError {
  const code = errorCodeOf(thrown);
  const call = thrown instanceof Error && 'syscall' in thrown ? thrown.syscall : null;
  const isFull = code === 'ENOSPC' || code === 'EDQUOT';
  return new GatewayError(isFull ? 'storage_full' : 'storage_failed', diskMessage(code), {
    detail: { code, call },
    ...(call === null ? { cause: thrown } : {}),
  });
}

function diskMessage(code: string): string {
  switch (code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return 'The disk that keeps the results is full';
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return 'The gateway may not write to the folder that keeps the results';
    default:
      return 'The disk that keeps the results failed';
  }
}

/** The `code` of a system or network error (`ENOSPC`), or else its name. */
export function errorCodeOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return 'unknown';
  return 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : thrown.name;
}
