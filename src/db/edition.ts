import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { GatewayError } from '../core/errors.ts';
import { migrationsFolder } from './migrations.ts';

/**
 * The edition of a schema is the time of its newest migration, milliseconds. Migrations are additive one
 * release ahead: a gateway still works on the next edition, for as long as it takes to end its work
 * (docs/decisions/026-a-rolling-deploy.md).
 */
export const ownEdition: number = newestOf(
  readFileSync(join(migrationsFolder, 'meta', '_journal.json'), 'utf8'),
);

/** Runs a query that takes no values, and returns its first row. */
type FirstRow = (query: string) => Promise<Readonly<Record<string, unknown>> | undefined>;

/** The edition of a database that was migrated. `schema`: where its migrations are on record. */
export async function editionOf(firstRow: FirstRow, schema: string | null): Promise<number> {
  const row = await firstRow(`select max(created_at)::float8 as edition from ${recordIn(schema)}`);
  return Number(row?.edition ?? 0);
}

/**
 * Comes before the migration.
 *
 * @throws GatewayError `unavailable` when a newer gateway has changed the schema.
 */
export async function refuseNewer(firstRow: FirstRow, schema: string | null): Promise<void> {
  const name = recordIn(schema).replaceAll("'", "''");
  const record = await firstRow(`select to_regclass('${name}') as name`);
  if (record?.name == null || (await editionOf(firstRow, schema)) <= ownEdition) return;
  throw new GatewayError(
    'unavailable',
    'A newer version of TMLSR has changed the database: start that version, or a later one.',
  );
}

function recordIn(schema: string | null): string {
  return `${quoted(schema ?? 'drizzle')}."__drizzle_migrations"`;
}

function newestOf(journal: string): number {
  const { entries } = JSON.parse(journal) as { entries: readonly { readonly when: number }[] };
  return Math.max(...entries.map(({ when }) => when));
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
