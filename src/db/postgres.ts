import postgres from 'postgres';
import type { Tempo } from '../core/tempo.ts';
import type { Logger } from '../telemetry/logger.ts';
import { type DatabaseAddress, describeAddress } from './address.ts';
import { checkSession } from './check-session.ts';
import type { Database } from './database.ts';
import { driverOptions, patientOptions } from './driver-options.ts';
import { loadPostgresJs } from './drizzle.ts';
import { editionOf } from './edition.ts';
import { Listener } from './listener.ts';
import { migrateUnderLock } from './migrate.ts';
import * as schema from './schema.ts';

const { drizzle } = loadPostgresJs();

export interface PostgresOptions {
  readonly address: DatabaseAddress;
  /** Connections for queries; another one listens. */
  readonly poolSize: number;
  readonly waits: Tempo['database'];
  readonly logger?: Logger | undefined;
}

export async function connectPostgres(options: PostgresOptions): Promise<Database> {
  const { address, poolSize, waits, logger } = options;
  const driver = await driverOptions(address, waits);
  await checkSession(driver, describeAddress(address), waits);
  await migrateUnderLock(driver, address, waits, logger);
  const client = postgres({ ...driver, max: poolSize });
  // It connects when it is needed, and lets go of its connection.
  const patient = postgres({ ...patientOptions(driver, address, waits), idle_timeout: 1 });
  const parts = new AsyncDisposableStack();
  parts.defer(() => patient.end({ timeout: waits.closeDeadlineMs / 1_000 }));
  parts.defer(() => client.end({ timeout: waits.closeDeadlineMs / 1_000 }));
  return {
    engine: 'postgres',
    orm: drizzle(preparing(client), { schema }),
    patientOrm: drizzle(patient, { schema }),
    edition: () => editionOf(async (query) => (await client.unsafe(query))[0], address.schema),
    async listen(channel, onMessage, onListening) {
      parts.use(await Listener.start({ driver, waits, channel, onMessage, onListening }));
    },
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
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
