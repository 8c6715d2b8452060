import type { PgDatabase, PgQueryResultHKT } from 'drizzle-orm/pg-core';
import { translateDatabaseError } from './errors.ts';
import { connectPglite } from './pglite.ts';
import { connectPostgres } from './postgres.ts';
import type * as schema from './schema.ts';

export type Orm = PgDatabase<PgQueryResultHKT, typeof schema>;

/** What both engines give. Nothing else of the gateway knows which of the two it talks to. */
export interface Database extends AsyncDisposable {
  readonly engine: 'postgres' | 'pglite';
  readonly orm: Orm;
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
  | { readonly engine: 'postgres'; readonly url: string }
  | { readonly engine: 'pglite'; readonly dataDir: string };

/**
 * Opens the database and brings its schema up to date.
 *
 * @throws GatewayError `unavailable` when it cannot be reached, or is another's.
 */
export async function connectDatabase(options: DatabaseOptions): Promise<Database> {
  try {
    return options.engine === 'postgres'
      ? await connectPostgres(options.url)
      : await connectPglite(options.dataDir);
  } catch (error) {
    throw translateDatabaseError(error);
  }
}
