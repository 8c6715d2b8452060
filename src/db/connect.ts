import { realTempo, type Tempo } from '../core/tempo.ts';
import type { Logger } from '../telemetry/logger.ts';
import { parseDatabaseAddress } from './address.ts';
import type { Database } from './database.ts';
import { translateDatabaseError } from './errors.ts';
import { connectPostgres } from './postgres.ts';
import { explainStartError } from './start-error.ts';

export type { Database, Orm } from './database.ts';

export type DatabaseOptions =
  | {
      readonly engine: 'postgres';
      readonly url: string;
      /** Connections for queries; 10 if it is left out. */
      readonly poolSize?: number;
    }
  | { readonly engine: 'pglite'; readonly dataDir: string };

/**
 * Opens the database and brings its schema up to date.
 *
 * @throws GatewayError `unavailable`, with a sentence for the operator, when it cannot be used.
 */
export async function connectDatabase(
  options: DatabaseOptions,
  waits: Tempo['database'] = realTempo.database,
  logger?: Logger,
): Promise<Database> {
  if (options.engine === 'pglite') {
    // Whoever has a Postgres does not owe the memory of another one.
    const { connectPglite } = await import('./pglite.ts');
    return await connectPglite(options.dataDir).catch((error) => {
      throw translateDatabaseError(error);
    });
  }
  const address = parseDatabaseAddress(options.url);
  const { poolSize = 10 } = options;
  return await connectPostgres({ address, poolSize, waits, logger }).catch((error) => {
    throw explainStartError(error, address);
  });
}
