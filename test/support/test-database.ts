import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import postgres from 'postgres';
import type { DatabaseOptions } from '../../src/db/connect.ts';
import { PostgresServer } from './postgres-server.ts';

export const engines = ['pglite', 'postgres'] as const;
export type Engine = (typeof engines)[number];

export interface TestDatabase extends AsyncDisposable {
  readonly options: DatabaseOptions;
}

/** An empty database of the engine, gone when it is disposed of. */
export async function createTestDatabase(engine: Engine): Promise<TestDatabase> {
  return engine === 'pglite' ? await inFolder() : await inServer();
}

async function inFolder(): Promise<TestDatabase> {
  const folder = await mkdtemp(join(tmpdir(), 'tmlsr-pglite-'));
  return {
    options: { engine: 'pglite', dataDir: join(folder, 'db') },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

async function inServer(): Promise<TestDatabase> {
  await using cleanup = new AsyncDisposableStack();
  // A single test file run by hand has no server from the global setup.
  const base = process.env.TEST_DATABASE_URL ?? cleanup.use(await PostgresServer.start()).url;
  const name = `tmlsr_test_${randomBytes(6).toString('hex')}`;
  await run(base, `create database ${name}`);
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
