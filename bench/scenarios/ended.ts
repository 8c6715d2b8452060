import { setTimeout as delay } from 'node:timers/promises';
import type { Database } from '../../src/db/connect.ts';
import { eq } from '../../src/db/drizzle.ts';
import { tasks } from '../../src/db/schema.ts';
import { AttemptNews } from '../../src/tasks/attempt-news.ts';
import { EventStore } from '../../src/tasks/event-store.ts';
import { QueueStats } from '../../src/tasks/queue-stats.ts';
import { ResultStore } from '../../src/tasks/result-store.ts';
import { UsageStore } from '../../src/tasks/usage-store.ts';
import { historyTenants, historyWorkflows, writeHistory } from '../../test/support/history.ts';
import { GatewayStores, newTask, output, owner } from '../../test/support/task-stores.ts';
import { sleepGraph } from '../../test/support/test-workflows.ts';
import { type Figure, quantile, type Scenario } from '../support/figures.ts';
import { MeteredServer } from '../support/metered-server.ts';
import { type Scene, setScene, smallPicture, startEmulators } from '../support/scene.ts';

const few = 1_000;
const many = 1_000_000;
const waiting = 100;
const rounds = 400;
const warmUp = 50;
const throughGateway = 40;
const looks = 100;
const day = 24 * 3_600_000;
const bar = 1.5;

/** Two databases of one server, asked in turns, so that both have the same luck. */
export const ended: Scenario = {
  title: `what a task costs behind ${many} that have ended, as against ${few}`,

  async measure(): Promise<Figure[]> {
    await using server = await MeteredServer.start();
    await using small = await Past.write(server, 'small', few);
    await using large = await Past.write(server, 'large', many);
    for (let i = 0; i < rounds + warmUp; i += 1) {
      if (i === warmUp) for (const past of [small, large]) past.times.clear();
      // Whoever comes first may find the processor asleep.
      for (const past of i % 2 ? [small, large] : [large, small]) await past.ask();
    }
    await using emulators = await startEmulators([1, 1]);
    const [first, second] = emulators.urls as [string, string];
    await small.open(first);
    await large.open(second);
    for (const past of [small, large]) {
      await past.settle();
      await past.go();
    }
    for (let i = 0; i < looks; i += 1) {
      for (const past of i % 2 ? [small, large] : [large, small]) await past.look();
    }
    return [
      ...[...small.times.keys()].flatMap((what) => ratios(what, small, large)),
      ...(['statements', 'ms'] as const).map((what): Figure => {
        const [one, other] = [small.ofTask[what], large.ofTask[what]];
        const name = what === 'ms' ? 'ms in the database' : what;
        return {
          what: `${name} of a task: ${one.toFixed(1)}, ${other.toFixed(1)}; ratio`,
          is: other / one,
          atMost: bar,
        };
      }),
    ];
  },
};

function ratios(what: string, small: Past, large: Past): Figure[] {
  return [0.5, 0.99].map((share) => {
    const [one = Number.NaN, other = Number.NaN] = [small, large].map(({ times }) =>
      quantile(times.get(what) ?? [], share),
    );
    return {
      what: `${what}, p${share * 100}: ${one.toFixed(2)} ms, ${other.toFixed(2)} ms; ratio`,
      is: other / one,
      // Of the slowest of a hundred the machine decides as much as the database.
      ...(share === 0.5 ? { atMost: bar } : {}),
    };
  });
}

/** A database with a past, the stores on it, and a gateway. */
class Past implements AsyncDisposable {
  /** By what was asked, milliseconds. */
  readonly times = new Map<string, number[]>();
  /** What a task asks of the database. */
  readonly ofTask = { statements: 0, ms: 0 };
  readonly #name: string;
  readonly #url: string;
  readonly #server: MeteredServer;
  readonly #database: Database;
  readonly #stores: GatewayStores;
  readonly #results: ResultStore;
  readonly #parts = new AsyncDisposableStack();
  #ended: readonly string[] = [];
  #scene: Scene | null = null;
  /** What its gateway asks for each second while nothing happens. */
  #idle = { statements: 0, ms: 0 };
  #turn = 0;

  private constructor(server: MeteredServer, name: string, url: string, database: Database) {
    this.#server = server;
    this.#name = name;
    this.#url = url;
    this.#database = this.#parts.use(database);
    this.#stores = new GatewayStores(database, 60_000);
    this.#results = new ResultStore(database, { retentionMs: 40 * day, maxBytes: null });
  }

  static async write(server: MeteredServer, name: string, count: number): Promise<Past> {
    const url = await server.create(name);
    await writeHistory(url, count, 16);
    const past = new Past(server, name, url, await server.connect(url));
    for (let i = 0; i < waiting; i += 1) await past.#submit();
    // From all over the past: ids are random.
    past.#ended = (
      await past.#database.orm
        .select({ id: tasks.id })
        .from(tasks)
        .where(eq(tasks.state, 'completed'))
        .orderBy(tasks.id)
        .limit(200)
    ).map(({ id }) => id);
    return past;
  }

  async #submit() {
    const turn = this.#turn++;
    const workflow = historyWorkflows[turn % historyWorkflows.length] as string;
    const tenant = historyTenants[turn % historyTenants.length] as string;
    return await this.#stores.tasks.insert(newTask({ workflow, tenant }));
  }

  /** One of everything, in the course of a task that comes, and of another that goes. */
  async ask(): Promise<void> {
    const { orm } = this.#database;
    const { claims, attempts } = this.#stores;
    const record = this.#stores.tasks;
    const added = await this.#timed('submit', () => this.#submit());
    const claim = await this.#timed('heads and claim', async () => {
      const [head] = await claims.heads();
      return head ? await claims.claim(head.id, 'http://backend') : null;
    });
    if (!claim) throw new Error('There was nothing to claim');
    await this.#timed('record', () => attempts.record(claim, news()));
    const { tenant } = claim.task;
    // What a QueueStats has read it keeps for a while.
    const stats = () => new QueueStats(orm);
    await this.#timed('the position of a task', () => stats().ahead(added));
    await this.#timed('the sweep of claims', async () => {
      await claims.takeOver(['http://backend']);
      await claims.requeueAbandoned(60_000);
      await claims.wakeWaiting();
      await claims.expireQueued();
      await record.leftovers(60_000);
    });
    await this.#timed('complete', () => this.#stores.complete(claim, [output]));
    const past = this.#ended[this.#turn % this.#ended.length] as string;
    await this.#timed('a task that has ended', () => record.find(past, owner));
    await this.#timed('/monitor/stats of all', async () => {
      await stats().counts();
      await stats().durations();
      await stats().waitingSince();
      await record.newest(50, { dialect: null, tenant: null });
    });
    await this.#timed('/monitor/stats of a tenant', async () => {
      await stats().countsOf(tenant);
      await record.newest(50, { dialect: 'tmlsr', tenant });
    });
    const { id } = claim.task;
    await this.#results.expire(id, owner);
    await this.#timed('the sweep of results', async () => {
      await this.#results.expireOld();
      const due = await this.#results.due(100, null);
      const expired = await this.#results.expired(due.map((each) => each.id));
      await this.#results.recordRemoved(expired.map(({ taskId }) => taskId));
    });
    await this.#timed('the sweep of events', () => new EventStore(orm).removeOld(40 * day));
    const usage = new UsageStore(orm);
    const [from, to] = [new Date(Date.now() - 30 * day), new Date()].map((at) =>
      at.toISOString().slice(0, 10),
    ) as [string, string];
    await this.#timed('the usage of a tenant in a month', async () => {
      await usage.rows({ from, to, tenant, by: ['day', 'workflow'] });
      await usage.stored(tenant);
    });
    this.#stores.told.length = 0;
  }

  /** Starts a gateway on it. What the stores left waiting is of workflows that it does not have. */
  async open(backend: string): Promise<void> {
    this.#scene = this.#parts.use(
      await setScene({
        backends: [backend],
        workflows: { brief: sleepGraph(0.01) },
        picture: await smallPicture(),
        databaseUrl: this.#url,
        isAtRealTempo: true,
      }),
    );
  }

  /** Learns what the gateway asks of the database while nothing happens. */
  async settle(): Promise<void> {
    await delay(2_000);
    this.#idle = await this.#server.askedEachSecond(this.#name, 8_000);
  }

  /** Tasks go through the gateway. What it asks for at rest, or to answer a client, is not theirs. */
  async go(): Promise<void> {
    const { gateway, url } = this.#open;
    const ids: string[] = [];
    const startedAt = performance.now();
    const asked = await this.#server.asked(this.#name, async () => {
      for (let i = 0; i < throughGateway; i += 1) {
        ids.push(await gateway.submit({ url, workflow: 'brief' }));
      }
      await delay(throughGateway * 250);
    });
    const seconds = (performance.now() - startedAt) / 1_000;
    for (const what of ['statements', 'ms'] as const) {
      this.ofTask[what] = (asked[what] - this.#idle[what] * seconds) / throughGateway;
    }
    for (const id of ids) {
      const { status } = await gateway.task(id);
      if (status !== 'completed') throw new Error(`Task ${id} is still ${status}`);
    }
  }

  /** Clients look. */
  async look(): Promise<void> {
    const { gateway } = this.#open;
    const past = this.#ended[this.#turn++ % this.#ended.length] as string;
    const path = `/tasks/${past.replaceAll('-', '')}`;
    await this.#timed('GET /tasks/{id} over HTTP', () => gateway.call('GET', path));
    await this.#timed('GET /monitor/stats over HTTP', () => gateway.call('GET', '/monitor/stats'));
  }

  get #open(): Scene {
    if (!this.#scene) throw new Error('There is no gateway');
    return this.#scene;
  }

  async #timed<T>(what: string, work: () => Promise<T>): Promise<T> {
    const startedAt = performance.now();
    const result = await work();
    const taken = this.times.get(what) ?? [];
    taken.push(performance.now() - startedAt);
    this.times.set(what, taken);
    return result;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts.disposeAsync();
  }
}

/** A prompt is on its backend. */
function news(): AttemptNews {
  const told = new AttemptNews();
  told.begin('download');
  told.finish('download', '1.1MB / 1.1MB');
  told.begin('process');
  told.prompt = {
    promptId: crypto.randomUUID(),
    backend: 'http://backend',
    input: null,
    sourceBytes: 1_000,
  };
  return told;
}
