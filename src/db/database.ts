import type { PgDatabase, PgQueryResultHKT } from './drizzle.ts';
import type * as schema from './schema.ts';

export type Orm = PgDatabase<PgQueryResultHKT, typeof schema>;

/** What both engines give. Nothing else of the gateway knows which of the two it talks to. */
export interface Database extends AsyncDisposable {
  readonly engine: 'postgres' | 'pglite';
  readonly orm: Orm;
  /** For statements over whole tables, which take longer than `orm` lets any take. */
  readonly patientOrm: Orm;
  /** The edition of its schema at this moment (`db/edition.ts`): a newer gateway may raise it. */
  edition(): Promise<number>;
  /**
   * Calls `onMessage` for each notification on the channel, and `onListening` whenever listening
   * (again) begins: what was sent before that instant may have been missed.
   */
  listen(
    channel: string,
    onMessage: (payload: string) => void,
    onListening: () => void,
  ): Promise<void>;
}
