import { errors } from 'undici';
import { GatewayError } from '../core/errors.ts';
import { systemCodeOf } from '../core/system-code.ts';

/** What a client reads tells what it can mend, and nothing of the network that we are in. */

export function sourceEmpty(): GatewayError {
  return new GatewayError('source_empty', 'The source is an empty file');
}

export function sourceTooLarge(maxBytes: number): GatewayError {
  return new GatewayError('source_too_large', `The source is larger than ${maxBytes} bytes`);
}

export function sourceTimeout(cause: unknown): GatewayError {
  return new GatewayError('source_timeout', 'The source is sent too slowly, or not at all', {
    cause,
  });
}

export function interrupted(cause?: unknown): GatewayError {
  return new GatewayError('source_interrupted', 'The source broke off before its end', { cause });
}

/** What a server says that may answer otherwise in a while. */
const passing: ReadonlySet<number> = new Set([408, 425, 429]);

/** Whether the same link may be good in a while, as far as the failure tells. */
export function isPassing({ code, detail }: GatewayError): boolean {
  if (code === 'source_failed') return detail === 'passing';
  return ['source_timeout', 'source_unreachable', 'source_interrupted'].includes(code);
}

/** Whether the link's server gives nothing by it, whatever it gave before. */
export function isRefusal(error: GatewayError): boolean {
  if (error.code === 'source_failed') return !isPassing(error);
  return error.code === 'source_not_found' || error.code === 'source_denied';
}

export function fromStatus(status: number): GatewayError {
  if (status === 404 || status === 410) {
    return new GatewayError('source_not_found', `There is nothing at the source's URL (${status})`);
  }
  if (status === 401 || status === 403) {
    return new GatewayError('source_denied', `The source's server denies access (${status})`);
  }
  if (status >= 300 && status <= 399) {
    return new GatewayError('source_failed', 'The source redirects too often, or to nowhere good');
  }
  return new GatewayError('source_failed', `The source's server answered with status ${status}`, {
    detail: status >= 500 || passing.has(status) ? 'passing' : undefined,
  });
}

/** What keeps an answer from coming: the errors of undici, of sockets, of TLS and of the resolver. */
export function fromNetwork(error: unknown): GatewayError {
  if (error instanceof GatewayError) return error;
  if (isTimeout(error)) return sourceTimeout(error);
  if (isOf(error, 'UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE')) return interrupted(error);
  if (error instanceof errors.HTTPParserError || error instanceof errors.HeadersOverflowError) {
    return new GatewayError('source_failed', "The source's server does not speak HTTP", {
      cause: error,
    });
  }
  return new GatewayError('source_unreachable', `The source's server ${whyUnreachable(error)}`, {
    cause: error,
  });
}

function whyUnreachable(error: unknown): string {
  const code = systemCodeOf(error);
  if (code === 'ENOTFOUND') return 'has a name that leads nowhere';
  if (code === 'EAI_AGAIN') return 'has a name that cannot be looked up at present';
  if (code === 'ECONNREFUSED') return 'refuses connections';
  if (isOfTls(code)) return `cannot be trusted: its certificate or its TLS is wrong (${code})`;
  return 'cannot be reached';
}

/** By the codes of OpenSSL, which are those of what is wrong with a certificate, and of Node. */
function isOfTls(code: string): boolean {
  return /^(ERR_TLS_|ERR_SSL_|CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|HOSTNAME_MISMATCH|EPROTO)/.test(
    code,
  );
}

/** What ends a body that had begun. */
export function fromBody(error: unknown): GatewayError {
  if (error instanceof GatewayError) return error;
  return isTimeout(error) ? sourceTimeout(error) : interrupted(error);
}

/** A disk without room is known to need some; everything else about it is unexpected. */
export function fromDisk(error: unknown): unknown {
  if (!isOf(error, 'ENOSPC', 'EDQUOT')) return error;
  return new GatewayError('spool_full', 'The gateway has no room for the source at the moment', {
    cause: error,
  });
}

function isTimeout(error: unknown): boolean {
  return (
    error instanceof errors.ConnectTimeoutError ||
    error instanceof errors.HeadersTimeoutError ||
    error instanceof errors.BodyTimeoutError
  );
}

function isOf(error: unknown, ...codes: string[]): boolean {
  return codes.includes(systemCodeOf(error));
}
