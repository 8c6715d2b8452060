import {
  type AnyPgTable,
  getTableColumns,
  type InferSelectModel,
  isSql,
  type SQL,
  sql,
} from './drizzle.ts';

/**
 * Pieces of statements that are written by hand. To build one of a hundred columns with Drizzle's builders
 * takes two milliseconds of a processor, five times what Postgres needs to run it; so texts that never
 * change are made once.
 */

/** Parts of a statement by their names, each of which may read those before it. */
export type Parts = Readonly<Record<string, SQL>>;

/** `with a as (…), b as (…)`. */
export function withParts(parts: Parts): SQL {
  const named = Object.entries(parts).map(
    ([name, part]) => sql`${sql.raw(`${name} as (`)}${part})`,
  );
  return sql`with ${sql.join(named, sql.raw(', '))}`;
}

/** What an update sets: values, or expressions of SQL, by the table's own names of its columns. */
export type Change<T extends AnyPgTable> = {
  readonly [K in keyof InferSelectModel<T>]?: InferSelectModel<T>[K] | SQL;
};

export function assignments<T extends AnyPgTable>(table: T, change: Change<T>): SQL {
  const set = Object.entries(change).map(([key, value]) => {
    const column = columnOf(table, key);
    return sql`${sql.raw(`"${column.name}" = `)}${isSql(value) ? value : sql.param(value, column)}`;
  });
  return sql.join(set, sql.raw(', '));
}

/** Texts of a table that never change. */
export interface TableText {
  /** `id, created_at`. */
  readonly columns: SQL;
  /** `tasks.id, tasks.created_at`. */
  readonly qualified: SQL;
  /** `id uuid, created_at timestamp`: the columns of a record that is read from JSON. */
  readonly typed: SQL;
}

/** `name`: as what a statement knows the table. */
export function textOf(table: AnyPgTable, keys: readonly string[], name: string): TableText {
  const columns = keys.map((key) => columnOf(table, key));
  const join = (each: (column: (typeof columns)[number]) => string) =>
    sql.raw(columns.map(each).join(', '));
  return {
    columns: join((column) => `"${column.name}"`),
    qualified: join((column) => `${name}."${column.name}"`),
    typed: join((column) => `"${column.name}" ${column.getSQLType()}`),
  };
}

/** Reads rows of the table that come as JSON, as `to_jsonb` writes them. */
export function jsonReader<T extends AnyPgTable>(
  table: T,
): (json: Readonly<Record<string, unknown>>) => InferSelectModel<T> {
  const columns = Object.entries(getTableColumns(table)).map(
    ([key, { name, dataType }]) => [key, name, dataType === 'date'] as const,
  );
  return (json) => {
    const row: Record<string, unknown> = {};
    for (const [key, name, isDate] of columns) {
      const value = json[name];
      row[key] = isDate && typeof value === 'string' ? new Date(value) : value;
    }
    return row as InferSelectModel<T>;
  };
}

/** A row as `jsonReader` and records read it: by the names of columns. */
export function toJsonRow<T extends AnyPgTable>(
  table: T,
  row: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const columns = getTableColumns(table);
  return Object.fromEntries(
    Object.entries(row).flatMap(([key, value]) => {
      const column = columns[key];
      return column ? [[column.name, value]] : [];
    }),
  );
}

function columnOf(table: AnyPgTable, key: string) {
  const column = getTableColumns(table)[key];
  if (!column) throw new Error(`There is no column ${key}`);
  return column;
}
