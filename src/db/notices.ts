import { EventEmitter } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type { Tempo } from '../core/tempo.ts';
import type { Database, Orm } from './database.ts';
import { type SQL, sql } from './drizzle.ts';

const channel = 'tmlsr';

/** What gateways tell each other over the database. */
interface NoticeMap {
  /** A run may be claimed, or some notice may have been missed: look at the queue. */
  ready: [];
  /** A run was canceled. */
  canceled: [runId: string];
  /** A task has had its event of that number. */
  happened: [taskId: string, number: number];
  /** A gateway needs the sources of a run, which another may have on its disk. */
  wanted: [runId: string];
  /** A source of the run lies in the object store now. */
  held: [runId: string];
  /** Somebody changed what belongs to the pool. */
  pool: [];
  /** Somebody changed a key. */
  keys: [];
}

type Notice = { [K in keyof NoticeMap]: readonly [kind: K, ...NoticeMap[K]] }[keyof NoticeMap];

/** Postgres takes 8,000 bytes at most. */
const maxPayloadBytes = 7_500;

/**
 * Notices are hints: one that is sent while the connection is down is lost. Who listens also looks at the
 * tables now and then. What this gateway tells, its own parts hear at once. The others hear it a little
 * later, with all that was told in that time: each notice takes a lock of the whole server when it is
 * committed.
 */
export class Notices extends EventEmitter<NoticeMap> {
  /** Whether other gateways work on this database, as far as is known: otherwise nobody has to be told. */
  hasOthers = true;
  readonly #orm: Orm;
  readonly #gateway: string;
  readonly #tempo: Pick<Tempo['database'], 'noticesTogetherMs'>;
  /** By their text, so that each is told once. */
  readonly #waiting = new Set<string>();
  #sending: Promise<void> | null = null;

  constructor(orm: Orm, gateway: string, tempo: Pick<Tempo['database'], 'noticesTogetherMs'>) {
    super();
    // Whoever waits for the end of a task listens.
    this.setMaxListeners(0);
    this.#orm = orm;
    this.#gateway = gateway;
    this.#tempo = tempo;
  }

  async listen(database: Pick<Database, 'listen'>): Promise<void> {
    await database.listen(
      channel,
      (payload) => this.#receive(payload),
      () => this.emit('ready'),
    );
  }

  /** Tells this gateway now and the others soon. What it is about must be committed. */
  tell(...notice: Notice): void {
    this.#hear(notice);
    this.tellOthers(...notice);
  }

  tellOthers(...notice: Notice): void {
    if (!this.hasOthers) return;
    this.#waiting.add(JSON.stringify(notice));
    this.#sending ??= this.#send();
  }

  /** Resolves when everything is sent, or lost. */
  async settled(): Promise<void> {
    await this.#sending;
  }

  async #send(): Promise<void> {
    await delay(this.#tempo.noticesTogetherMs);
    this.#sending = null;
    const notices = [...this.#waiting];
    this.#waiting.clear();
    const payloads = payloadsOf(this.#gateway, notices).map((payload) => sql`(${payload})`);
    await this.#orm
      .execute(
        sql`select pg_notify(${channel}, payload)
              from (values ${sql.join(payloads, sql`, `)}) as told (payload)`,
      )
      // Whoever should have heard of it looks at the tables.
      .catch(() => {});
  }

  #receive(payload: string): void {
    const message = read(payload);
    // A gateway of the version before tells of one thing at a time, and has no runs.
    if ('kind' in message) this.emit(message.kind === 'pool' ? 'pool' : 'ready');
    else if (message.by !== this.#gateway) {
      for (const notice of message.notices) this.#hear(notice);
    }
  }

  #hear(notice: Notice): void {
    const [kind, ...about] = notice;
    (this.emit as (kind: string, ...about: unknown[]) => boolean).call(this, kind, ...about);
  }
}

/** Tells every gateway that somebody changed what belongs to the pool. */
export async function notifyPool(orm: Orm): Promise<void> {
  await orm.execute(sql`select ${noticeToAll('pool')}`);
}

/** An expression that tells every gateway, this one as well, when the statement is committed. */
export function noticeToAll(kind: 'pool' | 'keys'): SQL {
  const payload = JSON.stringify({ by: '', notices: [[kind]] } satisfies NoticeMessage);
  return sql`pg_notify(${channel}, ${payload})`;
}

interface NoticeMessage {
  /** The gateway that tells. */
  readonly by: string;
  readonly notices: readonly Notice[];
}

interface OlderNotice {
  readonly kind: string;
}

const kinds: ReadonlySet<unknown> = new Set<Notice[0]>([
  'ready',
  'canceled',
  'happened',
  'wanted',
  'held',
  'pool',
  'keys',
]);

/** Anybody may write to the channel. Whatever cannot be read means no more than that something may have happened. */
function read(payload: string): NoticeMessage | OlderNotice {
  const isNotice = (each: unknown) => Array.isArray(each) && kinds.has(each[0]);
  try {
    const parsed = JSON.parse(payload);
    if (Array.isArray(parsed.notices))
      return { ...parsed, notices: parsed.notices.filter(isNotice) };
    return { kind: String(parsed.kind) };
  } catch {
    return { kind: 'ready' };
  }
}

function payloadsOf(by: string, notices: readonly string[]): string[] {
  const payloads: string[] = [];
  let together: string[] = [];
  let bytes = 0;
  const close = () => {
    if (together.length > 0) payloads.push(`{"by":"${by}","notices":[${together.join()}]}`);
    together = [];
    bytes = 0;
  };
  for (const notice of notices) {
    if (bytes + notice.length > maxPayloadBytes) close();
    together.push(notice);
    bytes += notice.length + 1;
  }
  close();
  return payloads;
}
