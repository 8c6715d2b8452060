import { EventEmitter } from 'node:events';
import { sql } from 'drizzle-orm';
import type { Database, Orm } from '../db/connect.ts';

const channel = 'tmlsr_tasks';

/** What gateways tell each other over the database. `id` is the task's. */
interface Notice {
  readonly kind: 'ready' | 'canceled';
  readonly id: string;
}

interface TaskEventMap {
  /** A task may be claimed, or some notice may have been missed: look at the queue. */
  ready: [];
  /** A task was canceled, perhaps by another gateway. */
  canceled: [id: string];
}

/**
 * Notices are hints: one that is sent while the connection is down is lost. Who listens also looks
 * at the tables now and then.
 */
export class TaskEvents extends EventEmitter<TaskEventMap> {
  async listen(database: Database): Promise<void> {
    await database.listen(
      channel,
      (payload) => this.#receive(JSON.parse(payload) as Notice),
      () => this.emit('ready'),
    );
  }

  #receive(notice: Notice): void {
    if (notice.kind === 'canceled') this.emit('canceled', notice.id);
    this.emit('ready');
  }
}

/** Sent when the transaction commits, and only then. */
export async function notify(orm: Orm, kind: Notice['kind'], id: string): Promise<void> {
  const payload = JSON.stringify({ kind, id } satisfies Notice);
  await orm.execute(sql`select pg_notify(${channel}, ${payload})`);
}
