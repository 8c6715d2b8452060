import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PGlite } from '@electric-sql/pglite';
import postgres from 'postgres';
import type { DatabaseOptions } from '../../src/db/connect.ts';
import { loadPglite, loadPostgresJs } from '../../src/db/drizzle.ts';

const migrations = fileURLToPath(new URL('../../drizzle', import.meta.url));

/** A database as a gateway of before left it. */
export interface OldDatabase extends AsyncDisposable {
  /** Runs one or more statements; returns the rows of the last one. */
  query(statements: string): Promise<readonly Record<string, unknown>[]>;
}

/** Brings a bare database to the edition of an older version: that of the migration with this tag. */
export async function migrateUpTo(tag: string, options: DatabaseOptions): Promise<OldDatabase> {
  const migrationsFolder = await mkdtemp(join(tmpdir(), 'tmlsr-migrations-'));
  try {
    await cp(migrations, migrationsFolder, { recursive: true });
    const path = join(migrationsFolder, 'meta', '_journal.json');
    const journal = JSON.parse(await readFile(path, 'utf8'));
    const last = journal.entries.findIndex((entry: { tag: string }) => entry.tag === tag);
    journal.entries = journal.entries.slice(0, last + 1);
    await writeFile(path, JSON.stringify(journal));
    return options.engine === 'pglite'
      ? await inFolder(options.dataDir, migrationsFolder)
      : await inServer(options.url, migrationsFolder);
  } finally {
    await rm(migrationsFolder, { recursive: true });
  }
}

async function inFolder(dataDir: string, migrationsFolder: string): Promise<OldDatabase> {
  const { drizzle, migrate } = loadPglite();
  const client = await PGlite.create(dataDir);
  await migrate(drizzle(client), { migrationsFolder });
  return {
    query: async (statements) =>
      (await client.exec(statements)).at(-1)?.rows as Record<string, unknown>[],
    [Symbol.asyncDispose]: () => client.close(),
  };
}

async function inServer(url: string, migrationsFolder: string): Promise<OldDatabase> {
  const { drizzle, migrate } = loadPostgresJs();
  const client = postgres(url, { max: 1, onnotice: () => {} });
  await migrate(drizzle(client), { migrationsFolder });
  return {
    query: async (statements) => {
      const results = await client.unsafe(statements).simple();
      const isSeveral = Array.isArray(results[0]);
      return (isSeveral ? results.at(-1) : results) as Record<string, unknown>[];
    },
    [Symbol.asyncDispose]: () => client.end(),
  };
}
