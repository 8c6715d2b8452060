import { createRequire } from 'node:module';

/**
 * Drizzle, in its CommonJS build. Node 24 parses the `exports` of a package anew for each ES module of it,
 * and Drizzle's are 179 KB: that took 0.3 s of a processor at every start (docs/decisions/022). All of the gateway
 * imports it from here, because one import of its own would load the other build as well.
 */
const load = createRequire(import.meta.url);

const core: typeof import('drizzle-orm') = load('drizzle-orm');
export const {
  and,
  asc,
  between,
  count,
  desc,
  eq,
  getTableColumns,
  gt,
  inArray,
  is,
  isNotNull,
  isNull,
  lt,
  ne,
  notInArray,
  or,
  sql,
} = core;

const pg: typeof import('drizzle-orm/pg-core') = load('drizzle-orm/pg-core');
export const {
  bigint,
  boolean,
  check,
  customType,
  date,
  index,
  integer,
  PgTable,
  pgTable,
  primaryKey,
  timestamp,
  unionAll,
  uniqueIndex,
  uuid,
} = pg;

/** Whether it is a piece of SQL, and not a value. */
export function isSql(value: unknown): value is import('drizzle-orm').SQL {
  return core.is(value, core.SQL);
}

export type { InferSelectModel, SQL, SQLWrapper } from 'drizzle-orm';
export type {
  AnyPgTable,
  PgDatabase,
  PgQueryResultHKT,
  PgUpdateSetSource,
} from 'drizzle-orm/pg-core';

/** Drizzle over `postgres`. */
export function loadPostgresJs() {
  const { drizzle }: typeof import('drizzle-orm/postgres-js') = load('drizzle-orm/postgres-js');
  const { migrate }: typeof import('drizzle-orm/postgres-js/migrator') = load(
    'drizzle-orm/postgres-js/migrator',
  );
  return { drizzle, migrate };
}

/** Drizzle over PGlite. */
export function loadPglite() {
  const { drizzle }: typeof import('drizzle-orm/pglite') = load('drizzle-orm/pglite');
  const { migrate }: typeof import('drizzle-orm/pglite/migrator') = load(
    'drizzle-orm/pglite/migrator',
  );
  return { drizzle, migrate };
}
