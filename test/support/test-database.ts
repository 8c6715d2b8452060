import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import postgres from 'postgres';
import { dataFolders } from '../../src/config/config.ts';
import { connectDatabase, type Database, type DatabaseOptions } from '../../src/db/connect.ts';
import { PostgresServer } from './postgres-server.ts';
import { isReal, testTempo } from './tempo.ts';

export const engines = ['pglite', 'postgres'] as const;
export type Engine = (typeof engines)[number];

/** For tests above the stores, whose own suites always run on both. */
export const enginesAboveStores: readonly Engine[] = isReal ? engines : ['postgres'];

export interface TestDatabase extends AsyncDisposable {
  readonly options: DatabaseOptions;
}

/**
 * Where a run of all tests keeps what each of its files copies: a new database takes seconds of a
 * processor, a copy a fraction. A test file that is run by hand makes everything by itself.
 */
const settings = {
  serverUrl: 'TEST_DATABASE_URL',
  postgresTemplate: 'TEST_POSTGRES_TEMPLATE',
  pgliteTemplate: 'TEST_PGLITE_TEMPLATE',
} as const;

/** Makes the server, unless the environment names one, and the templates, for this process and its children. */
export async function prepareTestDatabases(): Promise<AsyncDisposable> {
  await using parts = new AsyncDisposableStack();
  process.env[settings.serverUrl] ||= parts.use(await PostgresServer.start()).url;
  // One after the other: PGlite keeps the event loop while it starts, and the other's deadlines pass.
  for (const engine of engines) parts.use(await createTemplate(engine));
  return parts.move();
}

async function createTemplate(engine: Engine): Promise<TestDatabase> {
  const template = await createTestDatabase(engine);
  const { options } = template;
  // Connecting brings the schema up to date.
  await using _database = await connectTestDatabase(options);
  if (options.engine === 'pglite') process.env[settings.pgliteTemplate] = options.dataDir;
  else process.env[settings.postgresTemplate] = new URL(options.url).pathname.slice(1);
  return template;
}

/** Connects as gateways in tests do. */
export async function connectTestDatabase(options: DatabaseOptions): Promise<Database> {
  return await connectDatabase(options, testTempo.database);
}

/** A database of the engine without rows, gone when it is disposed of. `isBare`: without tables as well. */
export async function createTestDatabase(
  engine: Engine,
  { isBare = false }: { readonly isBare?: boolean } = {},
): Promise<TestDatabase> {
  return engine === 'pglite' ? await inFolder(isBare) : await inServer(isBare);
}

/**
 * The `DATABASE_URL` of a gateway with this data folder: empty where the database lies in there. A new
 * database is without rows, and goes with `parts`.
 */
export async function gatewayDatabase(
  { engine, database }: { readonly engine: Engine; readonly database?: TestDatabase },
  dataDir: string,
  parts: AsyncDisposableStack,
): Promise<string> {
  if (engine === 'postgres') return urlOf(database ?? parts.use(await inServer()));
  await embedDatabase(dataDir);
  return '';
}

/** Empty for one in a folder. */
export function urlOf({ options }: TestDatabase): string {
  return options.engine === 'postgres' ? options.url : '';
}

/** Puts a database without rows into a gateway's data folder, unless it has one. */
async function embedDatabase(dataDir: string): Promise<void> {
  const { database } = dataFolders(dataDir);
  const template = process.env[settings.pgliteTemplate];
  if (template && !existsSync(database)) await cp(template, database, { recursive: true });
}

async function inFolder(isBare: boolean): Promise<TestDatabase> {
  const folder = await mkdtemp(join(tmpdir(), 'tmlsr-pglite-'));
  if (!isBare) await embedDatabase(folder);
  return {
    options: { engine: 'pglite', dataDir: dataFolders(folder).database },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

async function inServer(isBare = false): Promise<TestDatabase> {
  await using cleanup = new AsyncDisposableStack();
  const base = process.env[settings.serverUrl] ?? cleanup.use(await PostgresServer.start()).url;
  const name = `tmlsr_test_${randomBytes(6).toString('hex')}`;
  const template = isBare ? undefined : process.env[settings.postgresTemplate];
  await run(base, `create database ${name}${template ? ` template ${template}` : ''}`);
  cleanup.defer(() => run(base, `drop database ${name} with (force)`));
  const url = new URL(base);
  url.pathname = `/${name}`;
  const owned = cleanup.move();
  return {
    options: { engine: 'postgres', url: url.href },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function run(url: string, statement: string): Promise<void> {
  const client = postgres(url, { max: 1, onnotice: () => {} });
  try {
    await client.unsafe(statement);
  } finally {
    await client.end();
  }
}
