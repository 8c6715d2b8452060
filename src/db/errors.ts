import { GatewayError } from '../core/errors.ts';

/**
 * SQLSTATEs of servers that are away, full, read-only or changing hands, and of statements that are worth
 * another try. None of them says that the statement is wrong.
 */
const passing = new RegExp(
  `^(${[
    ...['08', '53', '57', '58'], // connections, resources, an operator (also a timeout), the system
    ...['28', '3D000'], // a role or database that is not there, or not yet
    ...['25006', '25P03', '55000', '55P03'], // a standby, a frozen transaction, a state, a lock
    ...['40001', '40P01'], // another transaction was in the way
  ].join('|')})`,
);
/** Codes of the driver, of TCP and of the resolver. */
const connection = new Set([
  ...['CONNECTION_CLOSED', 'CONNECTION_DESTROYED', 'CONNECTION_ENDED'],
  ...['CONNECT_TIMEOUT', 'QUERY_TIMEOUT', 'TARGET_SESSION_ATTRS'],
  ...['SASL_SIGNATURE_MISMATCH', 'SSL_NOT_SUPPORTED', 'UNKNOWN_AUTH'],
  ...['ECONNABORTED', 'ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT'],
  ...['EHOSTDOWN', 'EHOSTUNREACH', 'ENETDOWN', 'ENETUNREACH', 'EADDRNOTAVAIL'],
  ...['EAI_AGAIN', 'ENOTFOUND', 'EPROTO'],
]);
/** Of certificates that are not accepted. */
const tls = /^(ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_)/;

/** Whether the code tells that the database cannot be used now, rather than that we are wrong. */
export function isLoss(code: string): boolean {
  return connection.has(code) || passing.test(code) || tls.test(code);
}

/**
 * Turns the loss of the database into `unavailable`; any other error stays what it is, above all one
 * that tells of somebody else who refused a connection.
 */
export function translateDatabaseError(error: unknown): unknown {
  if (error instanceof GatewayError) return error;
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const code = 'code' in cause ? String(cause.code) : '';
    if (isLoss(code)) {
      return new GatewayError('unavailable', 'The gateway cannot reach its database', {
        cause: error,
      });
    }
  }
  return error;
}

/** The SQLSTATE of a statement that Postgres refused, or the driver's code; empty for any other error. */
export function codeOf(error: unknown): string {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if ('code' in cause) return String(cause.code);
  }
  return '';
}

/** What `work` answers; `unavailable` where the database was lost. */
export async function reaching<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw translateDatabaseError(error);
  }
}
