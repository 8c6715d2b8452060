import { storableJson, storableText } from '../core/storable-text.ts';
import { customType, type SQL, sql } from './drizzle.ts';

/**
 * The columns are the edge of the database: they make every text storable, so that no writer can forget
 * it. A server's text that Postgres refuses would fail the write which tells of it, again and again.
 */

export const text = customType<{ data: string }>({
  dataType: () => 'text',
  toDriver: storableText,
});

export const jsonb = customType<{ data: unknown; driverData: unknown }>({
  dataType: () => 'jsonb',
  toDriver: storableJson,
});

/** A value as `jsonb` in a statement that is written by hand, where no column stands for it. */
export function asJsonb(value: unknown): SQL {
  return sql`${storableJson(value)}::jsonb`;
}
