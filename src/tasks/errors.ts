import { type GatewayError, toGatewayError } from '../core/errors.ts';
import { translateDatabaseError } from '../db/errors.ts';

/** What went wrong in a store of tasks: `unavailable` when the database is away. */
export function toStoreError(thrown: unknown): GatewayError {
  return toGatewayError(translateDatabaseError(thrown));
}

/** What `work` answers, or what went wrong with it as `toStoreError` has it. */
export async function reaching<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw toStoreError(error);
  }
}
