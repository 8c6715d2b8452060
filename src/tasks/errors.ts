import { type GatewayError, toGatewayError } from '../core/errors.ts';
import { translateDatabaseError } from '../db/errors.ts';

/** What went wrong in a store of tasks: `unavailable` when the database is away. */
export function toStoreError(thrown: unknown): GatewayError {
  return toGatewayError(translateDatabaseError(thrown));
}
