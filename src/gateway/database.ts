import { type Config, dataFolders } from '../config/config.ts';
import type { DatabaseOptions } from '../db/connect.ts';

/** The database that the settings name: a Postgres, or the embedded one in the data folder. */
export function databaseOf({ databaseUrl, databasePoolSize, dataDir }: Config): DatabaseOptions {
  return databaseUrl
    ? { engine: 'postgres', url: databaseUrl, poolSize: databasePoolSize }
    : { engine: 'pglite', dataDir: dataFolders(dataDir).database };
}
