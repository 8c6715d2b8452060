import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import postgres from 'postgres';
import { isLast, type TaskEvent } from '../src/core/task-event.ts';
import type { Database } from '../src/db/connect.ts';
import { sql } from '../src/db/drizzle.ts';
import { Notices } from '../src/db/notices.ts';
import { EventFeed } from '../src/tasks/event-feed.ts';
import { EventStore } from '../src/tasks/event-store.ts';
import { FollowerCutError } from '../src/tasks/follower.ts';
import { patienceMs } from './support/patience.ts';
import { backend, failure, GatewayStores, newTask } from './support/task-stores.ts';
import { testTempo } from './support/tempo.ts';
import {
  connectTestDatabase,
  createTestDatabase,
  engines,
  type TestDatabase,
} from './support/test-database.ts';

const again = { afterMs: 0, avoid: [], counts: true };

/** A gateway, as far as it makes moves and tells of them. */
class Teller implements AsyncDisposable {
  readonly stores: GatewayStores;
  readonly feed: EventFeed;
  readonly notices: Notices;

  private constructor(stores: GatewayStores, feed: EventFeed, notices: Notices) {
    this.stores = stores;
    this.feed = feed;
    this.notices = notices;
  }

  static async start(database: Database, { isDeaf = false } = {}): Promise<Teller> {
    const stores: GatewayStores = new GatewayStores(database, 15_000, (happenings) =>
      feed.tell(happenings),
    );
    const notices = new Notices(database.orm, stores.door.gateway, testTempo.database);
    const feed = new EventFeed(new EventStore(database.orm), notices, testTempo);
    if (!isDeaf) await notices.listen(database);
    feed.start();
    return new Teller(stores, feed, notices);
  }

  async submit(): Promise<string> {
    const { id } = await this.stores.tasks.insert(newTask());
    return id;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.feed[Symbol.asyncDispose]();
    await this.notices.settled();
  }
}

/** All events of a task after that one, to its last. */
async function story(feed: EventFeed, taskId: string, from = 0): Promise<TaskEvent[]> {
  const events: TaskEvent[] = [];
  for await (const event of feed.events(taskId, from, AbortSignal.timeout(patienceMs))) {
    events.push(event);
    if (isLast(event)) break;
  }
  return events;
}

const kinds = (events: readonly TaskEvent[]) => events.map(({ kind }) => kind);

for (const engine of engines) {
  describe(`the event feed on ${engine}`, () => {
    let scratch: TestDatabase;
    let database: Database;
    let scene: AsyncDisposableStack;
    let here: Teller;

    before(async () => {
      scratch = await createTestDatabase(engine);
      database = await connectTestDatabase(scratch.options);
    });
    beforeEach(async () => {
      scene = new AsyncDisposableStack();
      here = scene.use(await Teller.start(database));
    });
    afterEach(() => scene.disposeAsync());
    after(async () => {
      await database[Symbol.asyncDispose]();
      await scratch[Symbol.asyncDispose]();
    });

    /** Everything that may befall one task, by the gateway's hand. */
    async function befall({ stores }: Teller, id: string): Promise<void> {
      await stores.attempts.handBack(await stores.claim(id, backend), false);
      await stores.attempts.retry(await stores.claim(id, backend), failure, again);
      await stores.attempts.fail(await stores.claim(id, backend), failure);
    }

    const whole = [
      ...['submitted', 'begun', 'handed_back', 'begun', 'retried', 'begun', 'failed'],
    ] as const;

    it('tells what happens to a task, numbered in its order, also to one who comes late', async () => {
      const id = await here.submit();
      const live = story(here.feed, id);
      await befall(here, id);
      for (const events of [await live, await story(here.feed, id)]) {
        assert.deepEqual(kinds(events), whole);
        assert.deepEqual(
          events.map(({ number }) => number),
          [1, 2, 3, 4, 5, 6, 7],
        );
      }
      const last = (await live).at(-1);
      assert.equal(last?.gateway, here.stores.door.gateway);
      assert.deepEqual(last?.body, {
        ...{ attempt: 2, backend, code: 'execution_failed', message: 'LoadImage failed' },
      });
    });

    it('calls for a backend where a run may be claimed, and not before', async () => {
      let calls = 0;
      here.notices.on('ready', () => {
        calls += 1;
      });
      const during = async (work: () => Promise<unknown>) => {
        const callsBefore = calls;
        await work();
        return calls - callsBefore;
      };
      const { attempts } = here.stores;
      let id = '';
      const submit = async () => {
        id = await here.submit();
      };
      assert.equal(await during(submit), 1);
      const claim = () => here.stores.claim(id, backend);
      let claimed = await claim();
      assert.equal(await during(() => attempts.retry(claimed, failure, again)), 1);
      assert.equal(
        await during(async () => {
          claimed = await claim();
        }),
        0,
      );
      const later = { ...again, afterMs: 60_000 };
      assert.equal(await during(() => attempts.retry(claimed, failure, later)), 0);
    });

    it('goes on after the event that a follower names', async () => {
      const id = await here.submit();
      await befall(here, id);
      assert.deepEqual(kinds(await story(here.feed, id, 5)), ['begun', 'failed']);
    });

    it('tells each event once, whenever one begins to follow', async () => {
      const id = await here.submit();
      const stories: Promise<TaskEvent[]>[] = [];
      let isOver = false;
      const joining = (async () => {
        while (!isOver) {
          stories.push(story(here.feed, id));
          await delay(1);
        }
      })();
      await befall(here, id);
      isOver = true;
      await joining;
      for (const events of stories) assert.deepEqual(kinds(await events), whole);
    });

    it('tells of what another gateway does', async () => {
      const there = scene.use(await Teller.start(database));
      const id = await here.submit();
      const live = story(here.feed, id);
      await befall(there, id);
      assert.deepEqual(kinds(await live), whole);
    });

    it('tells of it in time where every notice is lost', async () => {
      const deaf = scene.use(await Teller.start(database, { isDeaf: true }));
      const id = await here.submit();
      const live = story(deaf.feed, id);
      await befall(here, id);
      assert.deepEqual(kinds(await live), whole);
    });

    it('tells of as many at once as there are', async () => {
      const id = await here.submit();
      const others = Array.from({ length: 40_000 }, () => [randomUUID(), 1] as const);
      const found = await new EventStore(database.orm).find([...others, [id, 1]]);
      assert.deepEqual(kinds(found), ['submitted']);
    });

    it('lets be what it cannot read on its channel', async () => {
      const rubbish = [
        'rubbish',
        'null',
        '{}',
        '{"by": "x"}',
        '{"notices": [5, ["error"], ["happened"]]}',
      ];
      const id = await here.submit();
      const live = story(here.feed, id);
      for (const payload of rubbish)
        await database.orm.execute(sql`select pg_notify('tmlsr', ${payload})`);
      await befall(here, id);
      assert.deepEqual(kinds(await live), whole);
    });

    it('cuts off who is too slow, and lets the others be', async () => {
      const id = await here.submit();
      using slow = here.feed.follow(id);
      const live = story(here.feed, id);
      const claim = await here.stores.claim(id, backend);
      const [happening] = here.stores.told.slice(-1);
      assert.ok(happening);
      for (let i = 0; i < 200; i += 1) slow.hear(happening.event);
      await assert.rejects(slow.next(AbortSignal.timeout(patienceMs)), FollowerCutError);
      await here.stores.attempts.fail(claim, failure);
      assert.deepEqual(kinds(await live), ['submitted', 'begun', 'failed']);
    });

    it('ends with the reason of the signal', async () => {
      const id = await here.submit();
      const reason = new Error('gone');
      const never = here.feed.events(id, 1, AbortSignal.abort(reason)).next();
      await assert.rejects(never, reason);
    });

    it('asks nothing of the database for one who follows a task at rest', async () => {
      const ids = await Promise.all(Array.from({ length: 20 }, () => here.submit()));
      const followers = ids.map((id) => here.feed.follow(id));
      const queries = counted(database);
      await delay(testTempo.events.lookEveryMs * 4);
      // The one look now and then is for all of them.
      assert.ok(queries.count() <= 6, `${queries.count()} queries`);
      queries[Symbol.dispose]();
      for (const follower of followers) follower[Symbol.dispose]();
    });

    it('keeps events for a while, and removes old ones in small steps', async () => {
      const events = new EventStore(database.orm);
      const id = await here.submit();
      await befall(here, id);
      assert.equal(await events.removeOld(60_000), 0);
      await database.orm.execute(sql`update task_events set at = now() - interval '1 hour'
        where task_id = ${id} and number < 7`);
      assert.ok((await events.removeOld(60_000)) >= 6);
      assert.deepEqual(kinds(await events.after(id, 0)), ['failed']);
      assert.equal(
        (await here.stores.tasks.find(id, { dialect: 'tmlsr', tenant: null }))?.state,
        'failed',
      );
    });
  });
}

describe('the event feed on a server with another database', () => {
  it('is not held up by a transaction there that is not ended', async () => {
    await using scratch = await createTestDatabase('postgres');
    await using other = await createTestDatabase('postgres');
    assert.ok(scratch.options.engine === 'postgres' && other.options.engine === 'postgres');
    await using database = await connectTestDatabase(scratch.options);
    await using here = await Teller.start(database);
    await using there = await Teller.start(database);
    const client = postgres(other.options.url, { max: 1, onnotice: () => {} });
    const committing = Promise.withResolvers<void>();
    const writing = client.begin(async (tx) => {
      await tx`create table held_open (id int)`;
      await tx`insert into held_open values (1)`;
      await committing.promise;
    });
    const id = await here.submit();
    const live = story(here.feed, id, 1);
    const startedAt = performance.now();
    const claim = await there.stores.claim(id, backend);
    await there.stores.attempts.fail(claim, failure);
    assert.deepEqual(kinds(await live), ['begun', 'failed']);
    assert.ok(performance.now() - startedAt < patienceMs);
    committing.resolve();
    await writing;
    await client.end();
  });
});

/** Counts what is asked of the database while it is not disposed of. */
function counted({ orm }: Database): Disposable & { count(): number } {
  let count = 0;
  const { select } = orm;
  orm.select = ((...args: Parameters<typeof select>) => {
    count += 1;
    return select.apply(orm, args);
  }) as typeof select;
  return {
    count: () => count,
    [Symbol.dispose]: () => {
      orm.select = select;
    },
  };
}
