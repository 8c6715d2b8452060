import { EventEmitter } from 'node:events';
import type { Database, Orm } from './database.ts';
import { type SQL, sql } from './drizzle.ts';

const channel = 'tmlsr';

/** What gateways tell each other over the database. `id` is a task's, or a backend's label. */
interface Notice {
  readonly kind: 'ready' | 'canceled' | 'ended' | 'pool';
  readonly id: string;
}

interface NoticeMap {
  /** A task may be claimed, or some notice may have been missed: look at the queue. */
  ready: [];
  /** A task was canceled, perhaps by another gateway. */
  canceled: [id: string];
  /** A task came to its end, canceled ones among them. */
  ended: [id: string];
  /** Somebody changed what belongs to the pool. */
  pool: [];
}

/**
 * Notices are hints: one that is sent while the connection is down is lost. Who listens also looks
 * at the tables now and then.
 */
export class Notices extends EventEmitter<NoticeMap> {
  constructor() {
    super();
    // Whoever waits for the end of a task listens.
    this.setMaxListeners(0);
  }

  async listen(database: Database): Promise<void> {
    await database.listen(
      channel,
      (payload) => this.#receive(JSON.parse(payload) as Notice),
      () => this.emit('ready'),
    );
  }

  #receive({ kind, id }: Notice): void {
    if (kind === 'pool') this.emit('pool');
    if (kind === 'canceled') this.emit('canceled', id);
    if (kind === 'canceled' || kind === 'ended') this.emit('ended', id);
    if (kind !== 'ended') this.emit('ready');
  }
}

/** Sent when the transaction commits, and only then. */
export async function notify(orm: Orm, kind: Notice['kind'], id: string): Promise<void> {
  await orm.execute(sql`select ${notification(kind, id)}`);
}

/** The notice as a column of a statement, sent with it. */
export function notification(kind: Notice['kind'], id: string): SQL<string> {
  const payload = JSON.stringify({ kind, id } satisfies Notice);
  return sql<string>`pg_notify(${channel}, ${payload})::text`;
}
