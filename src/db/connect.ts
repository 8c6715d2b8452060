import { realTempo, type Tempo } from '../core/tempo.ts';
import type { Logger } from '../telemetry/logger.ts';
import { parseDatabaseAddress } from './address.ts';
import type { PgDatabase, PgQueryResultHKT } from './drizzle.ts';
import { translateDatabaseError } from './errors.ts';
import { connectPostgres } from './postgres.ts';
import type * as schema from './schema.ts';
import { explainStartError } from './start-error.ts';

export type Orm = PgDatabase<PgQueryResultHKT, typeof schema>;

/** What both engines give. Nothing else of the gateway knows which of the two it talks to. */
export interface Database extends AsyncDisposable {
  readonly engine: 'postgres' | 'pglite';
  readonly orm: Orm;
  /** For statements over whole tables, which take longer than `orm` lets any take. */
  readonly patientOrm: Orm;
  /** The edition of its schema at this moment (`db/edition.ts`): a newer gateway may raise it. */
  edition(): Promise<number>;
  /**
   * Calls `onMessage` for each notification on the channel, and `onListening` whenever listening
   * (again) begins: what was sent before that instant may have been missed.
   */
  listen(
    channel: string,
    onMessage: (payload: string) => void,
    onListening: () => void,
  ): Promise<void>;
}

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
