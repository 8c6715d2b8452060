import { readFile } from 'node:fs/promises';
import type { ConnectionOptions } from 'node:tls';
import type { Options } from 'postgres';
import { GatewayError } from '../core/errors.ts';
import type { Tempo } from '../core/tempo.ts';
import type { DatabaseAddress } from './address.ts';

export type DriverOptions = Options<Record<string, never>>;

/**
 * Options of the driver for every connection of the gateway.
 *
 * @throws GatewayError `unavailable` when a file that the address names cannot be read.
 */
export async function driverOptions(
  address: DatabaseAddress,
  waits: Tempo['database'],
): Promise<DriverOptions> {
  const { hosts, database, user, password, tls, sessionKind } = address;
  const [first] = hosts;
  const options = {
    ...(first?.host.startsWith('/')
      ? { path: `${first.host}/.s.PGSQL.${first.port}` }
      : { host: hosts.map(({ host }) => host), port: hosts.map(({ port }) => port) }),
    ...(database === null ? {} : { database }),
    ...(user === null ? {} : { user }),
    ...(password === null ? {} : { password }),
    ssl: await tlsOptions(tls),
    ...(tls.isDirect ? { sslnegotiation: 'direct' } : {}),
    ...(sessionKind === 'any' ? {} : { target_session_attrs: sessionKind }),
    connect_timeout: address.connectSeconds ?? waits.connectDeadlineMs / 1_000,
    query_timeout: waits.queryDeadlineMs / 1_000,
    keep_alive: address.keepAliveSeconds ?? waits.keepAliveAfterMs / 1_000,
    // The driver's own pause grows to 20 s, and requests wait with it: they are better told at once
    // that the database is away.
    backoff: () => ((1 + Math.random()) * waits.reconnectPauseMs) / 1_000,
    // The types of arrays need not be asked for with each connection.
    fetch_types: false,
    onnotice: () => {},
    connection: address.startup,
    setup: sessionSetup(address, waits.statementDeadlineMs, waits.idleTransactionDeadlineMs),
  };
  // The driver takes lists of hosts, which its types do not say.
  return options as DriverOptions;
}

/** Options for one connection whose statements may take minutes. */
export function patientOptions(
  driver: DriverOptions,
  address: DatabaseAddress,
  { patientDeadlineMs, idleTransactionDeadlineMs }: Tempo['database'],
): DriverOptions {
  return {
    ...driver,
    max: 1,
    setup: sessionSetup(address, patientDeadlineMs, idleTransactionDeadlineMs),
    query_timeout: (patientDeadlineMs + idleTransactionDeadlineMs) / 1_000,
  };
}

/**
 * Settings of each session. They are statements because poolers refuse them in the startup message
 * (PgBouncer: 08P01), and pass these on.
 */
function sessionSetup(
  { schema, searchPath }: Pick<DatabaseAddress, 'schema' | 'searchPath'>,
  statementDeadlineMs: number,
  idleTransactionDeadlineMs: number,
): string {
  const path = schema === null ? searchPath : `"${schema.replaceAll('"', '""')}"`;
  const settings: Record<string, string | number | null> = {
    // The planner takes the walk through the heads of all lines for work worth compiling, until tables
    // are large and analyzed: that took 11 ms of a processor, for a statement that runs in 0.2 ms.
    jit: 'off',
    // No statement of ours takes long; one that does is stuck, and holds up vacuuming for all.
    statement_timeout: statementDeadlineMs,
    // A transaction that stands idle is of a gateway that froze, and holds up its successor.
    idle_in_transaction_session_timeout: idleTransactionDeadlineMs,
    search_path: path,
  };
  const calls = Object.entries(settings)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `set_config('${name}', '${`${value}`.replaceAll("'", "''")}', false)`);
  return `select ${calls.join(', ')}`;
}

async function tlsOptions(
  tls: DatabaseAddress['tls'],
): Promise<boolean | 'prefer' | ConnectionOptions> {
  const { mode, root, certificate, key } = tls;
  if (mode === 'disable') return false;
  // The driver does not come back with TLS after a refusal: it asks for TLS first.
  if (mode === 'allow' || mode === 'prefer') return 'prefer';
  return {
    ...(root ? { ca: await pem('sslrootcert', root) } : {}),
    ...(certificate ? { cert: await pem('sslcert', certificate) } : {}),
    ...(key ? { key: await pem('sslkey', key) } : {}),
    rejectUnauthorized: mode !== 'require',
    ...(mode === 'verify-ca' ? { checkServerIdentity: () => undefined } : {}),
  };
}

async function pem(parameter: string, path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new GatewayError(
      'unavailable',
      `DATABASE_URL: the file of ${parameter}, ${path}, cannot be read (${code})`,
      { cause },
    );
  }
}
