import { type SQL, sql } from 'drizzle-orm';
import { customType } from 'drizzle-orm/pg-core';
import { storableJson, storableText } from '../core/storable-text.ts';

/**
 * The edge of the database: whatever a server, a node or a store has said, these columns make it
 * storable. Text that Postgres refuses would otherwise fail the write that tells of it, again and again.
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
