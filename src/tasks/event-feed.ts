import { EventEmitter } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type { TaskEvent } from '../core/task-event.ts';
import type { Tempo } from '../core/tempo.ts';
import type { Notices } from '../db/notices.ts';
import { every } from '../timing/every.ts';
import type { Happening } from './door.ts';
import type { EventKey, EventStore } from './event-store.ts';
import { Follower } from './follower.ts';

/** A task that somebody here follows. */
interface Followed {
  readonly by: Set<Follower>;
  /** The number of the last event that they were told. */
  last: number;
}

interface FeedMap {
  /** This gateway has moved a task. */
  happened: [happening: Happening];
}

/**
 * Tells what happens to tasks, to all in this process who follow one and to all who observe every one. What
 * this gateway does is told as soon as it is committed. Of what others do it hears by notices, and by a look
 * at the table now and then, whatever the number of followers.
 */
export class EventFeed extends EventEmitter<FeedMap> implements AsyncDisposable {
  readonly #store: EventStore;
  readonly #notices: Notices;
  readonly #lookEveryMs: number;
  /** How long a statement may take: an event bears the time at which its own began. */
  readonly #statementMs: number;
  readonly #followed = new Map<string, Followed>();
  /** Events of followed tasks that are to be read. */
  readonly #missed = new Map<string, EventKey>();
  readonly #stop = new AbortController();
  #reading: Promise<void> | null = null;
  #lookedAt = performance.now();
  #loop: Promise<void> | null = null;

  constructor(
    store: EventStore,
    notices: Notices,
    { events, database }: Pick<Tempo, 'events' | 'database'>,
  ) {
    super();
    this.#store = store;
    this.#notices = notices;
    this.#lookEveryMs = events.lookEveryMs;
    this.#statementMs = database.statementDeadlineMs;
    notices.on('happened', this.#hear);
  }

  start(): void {
    // After a look that failed, the next one goes back as far.
    this.#loop ??= every(this.#lookEveryMs, this.#stop.signal, () => this.#look(), {
      onError: () => {},
    });
  }

  /** What a move of this gateway has done; it is committed. */
  readonly tell = (happenings: readonly Happening[]): void => {
    for (const happening of happenings) {
      const { event, run } = happening;
      this.#dispatch(event);
      this.#notices.tellOthers('happened', event.taskId, event.number);
      if (run.state === 'pending' && run.runAfter === null) this.#notices.tell('ready');
      if (run.state === 'canceled') this.#notices.tell('canceled', run.id);
      this.emit('happened', happening);
    }
  };

  /** From now on what happens to the task is heard. */
  follow(taskId: string): Follower {
    const follower = new Follower(taskId, this.#leave);
    const followed = this.#followed.get(taskId) ?? { by: new Set(), last: 0 };
    followed.by.add(follower);
    this.#followed.set(taskId, followed);
    return follower;
  }

  /**
   * The events of a task after the one of that number, each once and in their order: those that are kept, and
   * then those that come.
   *
   * @throws FollowerCutError for one who takes them too slowly; the signal's reason.
   */
  async *events(taskId: string, after: number, signal: AbortSignal): AsyncGenerator<TaskEvent> {
    // Listening comes before reading: what happens in between is heard.
    using follower = this.follow(taskId);
    let last = after;
    let heard: readonly TaskEvent[] = await this.#store.after(taskId, last);
    for (;;) {
      for (const event of heard) {
        if (event.number <= last) continue;
        const isNext = event.number === last + 1;
        const missing = isNext ? [] : await this.#store.after(taskId, last);
        for (const each of [...missing, event]) {
          if (each.number <= last) continue;
          last = each.number;
          yield each;
        }
      }
      heard = await follower.next(signal);
    }
  }

  readonly #leave = (follower: Follower): void => {
    const followed = this.#followed.get(follower.taskId);
    followed?.by.delete(follower);
    if (followed?.by.size === 0) this.#followed.delete(follower.taskId);
  };

  #dispatch(event: TaskEvent): void {
    const followed = this.#followed.get(event.taskId);
    if (!followed) return;
    followed.last = Math.max(followed.last, event.number);
    for (const follower of followed.by) follower.hear(event);
  }

  /** Another gateway has moved the task; whoever follows it here has to be told what it was. */
  readonly #hear = (taskId: string, number: number): void => {
    const followed = this.#followed.get(taskId);
    if (!followed || number <= followed.last) return;
    this.#missed.set(`${taskId} ${number}`, [taskId, number]);
    this.#reading ??= this.#readMissed().finally(() => {
      this.#reading = null;
    });
  };

  async #readMissed(): Promise<void> {
    // Those that are told together are read together.
    await delay(0);
    while (this.#missed.size > 0) {
      const keys = [...this.#missed.values()];
      this.#missed.clear();
      // What cannot be read now is found by the next look at the table.
      const events = await this.#store.find(keys).catch(() => []);
      for (const event of events) this.#dispatch(event);
    }
  }

  /** Looks back to the last time, and as far as a statement takes that was under way then. */
  async #look(): Promise<void> {
    const at = performance.now();
    if (this.#followed.size > 0) {
      const recent = await this.#store.recent(at - this.#lookedAt + this.#statementMs);
      for (const key of recent) this.#hear(...key);
    }
    this.#lookedAt = at;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#notices.off('happened', this.#hear);
    this.#stop.abort();
    await this.#loop;
    await this.#reading;
  }
}
