import assert from 'node:assert/strict';
import { it } from 'node:test';
import { getTableColumns, is, PgTable } from './drizzle.ts';
import * as schema from './schema.ts';

const foreign = 'a\0b\ud83d';

it('lets no text into a table that Postgres refuses', () => {
  const tables = Object.values(schema).filter((each) => is(each, PgTable));
  const columns = tables.flatMap((table) => Object.values(getTableColumns(table)));
  const written = columns.flatMap((column) => {
    const type = column.getSQLType();
    if (type === 'jsonb') return [column.mapToDriverValue({ [foreign]: [foreign] })];
    if (!type.startsWith('text')) return [];
    return [column.mapToDriverValue(type === 'text' ? foreign : [foreign])];
  });
  assert.ok(written.length > 20, 'most columns are texts');
  for (const value of written) {
    const text = Array.isArray(value) ? value.join() : String(value);
    assert.match(text, /a\ufffdb\ufffd/);
    assert.doesNotMatch(text, /\0|\\u0000|\\ud83d/);
    assert.ok(text.isWellFormed());
  }
});
