import { drizzle } from 'drizzle-orm/postgres-js';
import { migrate } from 'drizzle-orm/postgres-js/migrator';
import postgres from 'postgres';
import type { Database } from './connect.ts';
import { migrationsFolder } from './migrations.ts';
import * as schema from './schema.ts';

/** Any number, as long as every gateway takes the same. */
const migrationLock = 7_469_105;

/** No statement of ours takes long; one that does is stuck, and holds up vacuuming for all. */
const limits = { statement_timeout: 30_000, idle_in_transaction_session_timeout: 30_000 };

export async function connectPostgres(url: string): Promise<Database> {
  await migrateUnderLock(url);
  const client = postgres(url, {
    max: 10,
    connect_timeout: 10,
    onnotice: () => {},
    connection: { application_name: 'tmlsr', ...limits },
  });
  return {
    engine: 'postgres',
    orm: drizzle(client, { schema }),
    async listen(channel, onMessage, onListening) {
      await client.listen(channel, onMessage, onListening);
    },
    async [Symbol.asyncDispose]() {
      await client.end({ timeout: 5 });
    },
  };
}

/** Gateways that start together take turns; the second finds nothing left to do. */
async function migrateUnderLock(url: string): Promise<void> {
  const client = postgres(url, { max: 1, connect_timeout: 10, onnotice: () => {} });
  try {
    await client`select pg_advisory_lock(${migrationLock})`;
    await migrate(drizzle(client), { migrationsFolder });
  } finally {
    // Ending the session gives the lock back.
    await client.end({ timeout: 5 });
  }
}
