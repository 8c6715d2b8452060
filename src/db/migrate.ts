import { setTimeout as delay } from 'node:timers/promises';
import postgres from 'postgres';
import { GatewayError } from '../core/errors.ts';
import type { Tempo } from '../core/tempo.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { DatabaseAddress } from './address.ts';
import { type DriverOptions, patientOptions } from './driver-options.ts';
import { loadPostgresJs } from './drizzle.ts';
import { refuseNewer } from './edition.ts';
import { migrationsFolder } from './migrations.ts';

const { drizzle, migrate } = loadPostgresJs();

/** Any number, as long as every gateway takes the same. */
const migrationLock = 7_469_105;

/**
 * Brings the tables up to date. Gateways that start together take turns; the second finds nothing left
 * to do.
 *
 * @throws GatewayError `unavailable` when another session keeps the lock for too long, or a newer gateway
 *   has changed the schema.
 */
export async function migrateUnderLock(
  driver: DriverOptions,
  address: DatabaseAddress,
  waits: Tempo['database'],
  logger?: Logger,
): Promise<void> {
  const { closeDeadlineMs } = waits;
  const client = postgres(patientOptions(driver, address, waits));
  try {
    await takeLock(client, waits, logger);
    try {
      const { schema } = address;
      await refuseNewer(async (query) => (await client.unsafe(query))[0], schema);
      await migrate(drizzle(client), {
        migrationsFolder,
        // Each schema has a record of its own of what was done to it.
        ...(schema === null ? {} : { migrationsSchema: schema }),
      });
    } finally {
      // Behind a pooler the session goes on, and the lock with it.
      await client`select pg_advisory_unlock(${migrationLock})`.catch(() => {});
    }
  } finally {
    await client.end({ timeout: closeDeadlineMs / 1_000 });
  }
}

async function takeLock(
  client: postgres.Sql,
  { migrationLockPatienceMs, migrationLookEveryMs }: Tempo['database'],
  logger?: Logger,
): Promise<void> {
  const deadline = performance.now() + migrationLockPatienceMs;
  for (let isFirst = true; ; isFirst = false) {
    const [row] = await client`select pg_try_advisory_lock(${migrationLock}) as is_taken`;
    if (row?.is_taken) return;
    const holder = await holderOfLock(client);
    if (isFirst)
      logger?.warn({ holder, limitMs: migrationLockPatienceMs }, 'database.awaits-migration');
    if (performance.now() > deadline) {
      throw new GatewayError(
        'unavailable',
        `For ${migrationLockPatienceMs / 1_000} s another session has had the lock under which gateways ` +
          `migrate the database: ${holder}. If no gateway is migrating, end it with ` +
          'select pg_terminate_backend(PID).',
      );
    }
    await delay(migrationLookEveryMs);
  }
}

/** The session that has the lock, for people. */
async function holderOfLock(client: postgres.Sql): Promise<string> {
  const [holder] = await client`
    select pid, application_name, client_addr::text as address
      from pg_locks join pg_stat_activity using (pid)
     where locktype = 'advisory' and granted and classid = 0 and objid = ${migrationLock}
       and pg_locks.database = (select oid from pg_database where datname = current_database())`;
  if (!holder) return 'unknown';
  return `PID ${holder.pid}, ${holder.application_name}, from ${holder.address ?? 'a socket'}`;
}
