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

/** The edition of the database; 0 for one without tables. `schema`: where its migrations are on record. */
export async function editionOf(firstRow: FirstRow, schema: string | null): Promise<number> {
  const record = `${quoted(schema ?? 'drizzle')}."__drizzle_migrations"`;
  const table = await firstRow(`select to_regclass('${record.replaceAll("'", "''")}') as name`);
  if (table?.name == null) return 0;
  const row = await firstRow(`select max(created_at)::float8 as edition from ${record}`);
  return Number(row?.edition ?? 0);
}

/** @throws GatewayError `unavailable` when a newer gateway has changed the schema. */
export function refuseNewer(edition: number): void {
  if (edition <= ownEdition) return;
  throw new GatewayError(
    'unavailable',
    'A newer version of TMLSR has changed the database: start that version, or a later one.',
  );
}

function newestOf(journal: string): number {
  const { entries } = JSON.parse(journal) as { entries: readonly { readonly when: number }[] };
  return Math.max(...entries.map(({ when }) => when));
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
