import { drizzle } from 'drizzle-orm/postgres-js';
import { migrate } from 'drizzle-orm/postgres-js/migrator';
import postgres from 'postgres';
import type { Database } from './connect.ts';
import { migrationsFolder } from './migrations.ts';
import * as schema from './schema.ts';

/** Any number, as long as every gateway takes the same. */
const migrationLock = 7_469_105;

/**
 * The planner takes the walk through the heads of all lines for work worth compiling, until tables are
 * large and analyzed: that took 11 ms of a processor, for a statement that runs in 0.2 ms.
 */
const withoutCompiling = { jit: 'off' };

/**
 * No statement of ours takes long; one that does is stuck, and holds up vacuuming for all. A transaction
 * that stands idle is of a gateway that froze, and holds up its successor.
 */
const limits = { statement_timeout: 30_000, idle_in_transaction_session_timeout: 5_000 };

export async function connectPostgres(url: string): Promise<Database> {
  await migrateUnderLock(url);
  const client = postgres(url, {
    max: 10,
    connect_timeout: 10,
    backoff: reconnectSeconds,
    // What types of arrays there are need not be asked with each connection; where that is broken off,
    // nobody would catch the error.
    fetch_types: false,
    onnotice: () => {},
    connection: { application_name: 'tmlsr', ...limits, ...withoutCompiling },
  });
  return {
    engine: 'postgres',
    orm: drizzle(preparing(client), { schema }),
    async listen(channel, onMessage, onListening) {
      await client.listen(channel, onMessage, onListening);
    },
    async [Symbol.asyncDispose]() {
      await client.end({ timeout: 5 });
    },
  };
}

/**
 * The driver's own pause grows to 20 s, and requests wait with it: they are better told at once that
 * the database is away.
 */
function reconnectSeconds(): number {
  return 0.25 + Math.random() / 4;
}

/**
 * Drizzle sends every statement anew; most are the same few thousands of times, and to plan one may
 * take longer than to run it. So each connection is made to prepare what it is given.
 */
function preparing<T extends postgres.Sql | postgres.TransactionSql>(client: T): T {
  return new Proxy(client, {
    get(target, name) {
      if (name === 'unsafe') {
        return (text: string, values: never[]) => target.unsafe(text, values, { prepare: true });
      }
      if (name === 'begin' || name === 'savepoint') {
        const open = Reflect.get(target, name, target) as (...args: unknown[]) => unknown;
        return (...args: unknown[]) => {
          const work = args.pop() as (client: postgres.TransactionSql) => unknown;
          return open(...args, (inner: postgres.TransactionSql) => work(preparing(inner)));
        };
      }
      return Reflect.get(target, name, target);
    },
  });
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
