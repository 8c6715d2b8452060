import { readEnv } from '../../config/env.ts';
import { GatewayError } from '../../core/errors.ts';
import type { KeyControl } from '../../core/key.ts';
import { connectDatabase, type Database, type DatabaseOptions } from '../../db/connect.ts';
import { databaseOf } from '../../gateway/database.ts';
import { KeyService } from '../../keys/key-service.ts';
import { KeyStore } from '../../keys/key-store.ts';
import { readSettings } from '../read-settings.ts';

export interface OpenKeys extends AsyncDisposable {
  readonly keys: KeyControl;
}

/** On record, what was done to the database by hand bears the id of no gateway. */
const noGateway = '00000000-0000-0000-0000-000000000000';

/**
 * The keys of the gateway at that address; without one, those of the database that the settings name.
 *
 * @throws ConfigError; GatewayError telling why the database cannot be used.
 */
export async function openKeys(url: string | undefined): Promise<OpenKeys> {
  if (url !== undefined) {
    const { RemoteKeys } = await import('./remote-keys.ts');
    const keys = new RemoteKeys(url, readEnv().TMLSR_KEY || undefined);
    return { keys, [Symbol.asyncDispose]: async () => {} };
  }
  const database = await connect(databaseOf(await readSettings()));
  return {
    keys: new KeyService({
      store: new KeyStore(database.orm, noGateway),
      // The record is in the database; there is no log.
      audit: { recorded: () => {} },
      changed: () => {},
    }),
    [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
  };
}

async function connect(options: DatabaseOptions): Promise<Database> {
  try {
    return await connectDatabase(options);
  } catch (error) {
    if (options.engine === 'postgres' || !(error instanceof GatewayError)) throw error;
    const hint = 'To go through the gateway that has it, name that with --url URL.';
    throw new GatewayError(error.code, `${error.message}\n${hint}`, { cause: error });
  }
}
