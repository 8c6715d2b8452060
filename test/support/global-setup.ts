import { PostgresServer } from './postgres-server.ts';

let server: PostgresServer | null = null;

/** One Postgres for the whole run; each test file makes databases of its own in it. */
export async function globalSetup(): Promise<void> {
  if (process.env.TEST_DATABASE_URL) return;
  server = await PostgresServer.start();
  process.env.TEST_DATABASE_URL = server.url;
}

export async function globalTeardown(): Promise<void> {
  await server?.[Symbol.asyncDispose]();
}
