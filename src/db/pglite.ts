import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { PGlite } from '@electric-sql/pglite';
import { GatewayError } from '../core/errors.ts';
import type { Database } from './database.ts';
import { loadPglite } from './drizzle.ts';
import { ownEdition, refuseNewer } from './edition.ts';
import { lockFile } from './file-lock.ts';
import { migrationsFolder } from './migrations.ts';
import * as schema from './schema.ts';

const { drizzle, migrate } = loadPglite();

type Row = Readonly<Record<string, unknown>>;

/**
 * Opens the embedded engine. Its files survive the death of the process, not of the machine's power
 * (it never calls fsync). Two processes in one folder would diverge without a word, so it is locked.
 *
 * @throws GatewayError `unavailable` when another process has the folder, or a newer gateway has changed
 *   the schema.
 */
export async function connectPglite(dataDir: string): Promise<Database> {
  await mkdir(dataDir, { recursive: true });
  await using opened = new AsyncDisposableStack();
  const lock = lockFile(join(dataDir, '..', 'db.lock'));
  if (!lock) {
    throw new GatewayError(
      'unavailable',
      `The database in ${dataDir} is in use by another gateway. ` +
        'Stop that one, give this one a DATA_DIR of its own, or set DATABASE_URL to share a Postgres.',
    );
  }
  opened.use(lock);
  const client = await PGlite.create(dataDir);
  opened.defer(() => client.close());
  const orm = drizzle(client, { schema });
  await refuseNewer(async (query) => (await client.query<Row>(query)).rows[0], null);
  await migrate(orm, { migrationsFolder });
  const owned = opened.move();
  return {
    engine: 'pglite',
    orm,
    patientOrm: orm,
    // Nobody else can open it, and change it, meanwhile.
    edition: async () => ownEdition,
    async listen(channel, onMessage, onListening) {
      await client.listen(channel, onMessage);
      onListening();
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
