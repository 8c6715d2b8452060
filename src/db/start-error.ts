import { GatewayError } from '../core/errors.ts';
import { type DatabaseAddress, describeAddress } from './address.ts';
import { isLoss } from './errors.ts';

/** Plainer words for codes whose own message says little. */
const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ENOTFOUND: 'there is no such host',
  EAI_AGAIN: 'its host name cannot be looked up',
  CONNECT_TIMEOUT: 'it does not answer',
  QUERY_TIMEOUT: 'it does not answer',
  ETIMEDOUT: 'it does not answer',
  CONNECTION_CLOSED: 'it closes connections at once',
  ECONNRESET: 'it closes connections at once',
  TARGET_SESSION_ATTRS:
    'it is not the kind of server that is looked for. Without target_session_attrs in DATABASE_URL, ' +
    'that is one that can be written to, and no standby',
};

/**
 * Turns an error of the start into a sentence for the operator, without the password. Errors that no
 * operator can mend stay as they are.
 */
export function explainStartError(error: unknown, address: DatabaseAddress): unknown {
  if (error instanceof GatewayError) return error;
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const code = 'code' in cause ? String(cause.code) : '';
    if (!isLoss(code) && !isOfServer(code)) continue;
    const reason = reasons[code] ?? cause.message;
    return new GatewayError(
      'unavailable',
      `The database at ${describeAddress(address)} cannot be used: ${reason} (${code})`,
      { cause: error },
    );
  }
  return error;
}

/** SQLSTATEs have five places, and a digit among them. */
function isOfServer(code: string): boolean {
  return /^(?=.*\d)[0-9A-Z]{5}$/.test(code);
}
