import { GatewayError } from '../core/errors.ts';

/** SQLSTATE classes that say the server is away or full, not that the statement is wrong. */
const passing = /^(08|53|57P)/;
const connection = new Set([
  'CONNECTION_CLOSED',
  'CONNECTION_DESTROYED',
  'CONNECTION_ENDED',
  'CONNECT_TIMEOUT',
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOTFOUND',
  'EPIPE',
  'ETIMEDOUT',
]);

/**
 * Turns the loss of the database into `unavailable`; any other error stays what it is, above all one
 * that tells of somebody else who refused a connection.
 */
export function translateDatabaseError(error: unknown): unknown {
  if (error instanceof GatewayError) return error;
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const code = 'code' in cause ? String(cause.code) : '';
    if (connection.has(code) || passing.test(code)) {
      return new GatewayError('unavailable', 'The gateway cannot reach its database', {
        cause: error,
      });
    }
  }
  return error;
}

/** What `work` answers; `unavailable` where the database was lost. */
export async function reaching<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw translateDatabaseError(error);
  }
}
