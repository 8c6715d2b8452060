import postgres from 'postgres';
import type { Claim } from '../../src/core/attempt.ts';
import { deliveryAsUsual } from '../../src/core/delivery.ts';
import type { QueuedRun } from '../../src/core/schedule.ts';
import { sizeAsTheWorkflowGives } from '../../src/core/size-plan.ts';
import type { NewTask, TaskOutput } from '../../src/core/task.ts';
import { connectDatabase, type Database } from '../../src/db/connect.ts';
import { QueueStats } from '../../src/tasks/queue-stats.ts';
import { PostgresServer } from '../../test/support/postgres-server.ts';
import { GatewayStores } from '../../test/support/task-stores.ts';
import { type Figure, quantile, type Scenario } from '../support/figures.ts';

const few = 100;
const many = 1_000_000;
const workflows = ['red', 'green', 'blue'];
const tenants = ['', 'a', 'b', 'c', 'd'];
const rounds = 1_000;
const warmUp = 100;
const bar = 1.5;

const dispatch = 'heads and claim';
/** It counts what goes before a task: 99 here, and as many as it ever counts there. */
const countsMore = 'ahead of the last';

/** Two databases of one server, asked in turns, so that both have the same luck. */
export const backlog: Scenario = {
  title: `what a claim and /monitor/stats cost with ${many} waiting tasks, as against ${few}`,

  async measure(): Promise<Figure[]> {
    await using server = await PostgresServer.start();
    await using small = await Queue.fill(server, 'small', few);
    await using large = await Queue.fill(server, 'large', many);
    for (let i = 0; i < rounds + warmUp; i += 1) {
      if (i === warmUp) for (const queue of [small, large]) queue.forget();
      // Whoever comes first may find the processor asleep.
      for (const queue of i % 2 ? [small, large] : [large, small]) await queue.ask();
    }
    return [...small.times.keys()].flatMap((what) =>
      [0.5, 0.99].map((share): Figure => {
        const [one = Number.NaN, other = Number.NaN] = [small, large].map(({ times }) =>
          quantile(times.get(what) ?? [], share),
        );
        const isJudged = share === 0.5 ? what !== countsMore : what === dispatch;
        return {
          what: `${what}, p${share * 100}: ${one.toFixed(2)} ms, ${other.toFixed(2)} ms; ratio`,
          is: other / one,
          ...(isJudged ? { atMost: bar } : {}),
        };
      }),
    );
  },
};

class Queue implements AsyncDisposable {
  /** By what was asked, milliseconds. */
  readonly times = new Map<string, number[]>();
  readonly #database: Database;
  readonly #stores: GatewayStores;
  #turn = 0;

  private constructor(database: Database) {
    this.#database = database;
    this.#stores = new GatewayStores(database, 60_000);
  }

  static async fill(server: PostgresServer, name: string, count: number): Promise<Queue> {
    const client = postgres(server.url, { max: 1, onnotice: () => {} });
    await client.unsafe(`create database ${name}`);
    await client.end();
    const url = new URL(server.url);
    url.pathname = `/${name}`;
    const database = await connectDatabase({ engine: 'postgres', url: url.href });
    await fill(url.href, count);
    return new Queue(database);
  }

  forget(): void {
    this.times.clear();
  }

  /** One of everything, in the course of a task that comes, and of another that goes. */
  async ask(): Promise<void> {
    const { orm } = this.#database;
    const { claims, tasks } = this.#stores;
    // A line after the other, as tenants and workflows take turns.
    const turn = this.#turn++;
    const workflow = workflows[turn % workflows.length] as string;
    const tenant = tenants[turn % tenants.length] as string;
    const added = await this.#timed('submit', () => tasks.insert(task(workflow, tenant)));
    const claim = await this.#timed(dispatch, async () => {
      const heads = await this.#timed('heads', () => claims.heads());
      const head = heads.find((each) => each.workflow === workflow && each.tenant === tenant);
      const { id } = head as QueuedRun;
      return await this.#timed('claim', () => claims.claim(id, 'http://backend'));
    });
    // What a QueueStats has read it keeps for a while.
    const stats = () => new QueueStats(orm);
    await this.#timed('counts', () => stats().counts());
    const durations = await this.#timed('durations', () => stats().durations());
    await this.#timed(countsMore, () => stats().ahead(added));
    await this.#timed('shares', () => claims.shares(tenants, durations));
    await this.#stores.complete(claim as Claim, [output]);
    this.#stores.told.length = 0;
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
    await this.#database[Symbol.asyncDispose]();
  }
}

function task(workflow: string, tenant: string): NewTask {
  return {
    dialect: 'tmlsr',
    kind: 'image',
    sources: [{ input: 'image', url: 'http://a/b.png' }],
    workflow,
    workflowHash: '',
    arguments: {},
    size: sizeAsTheWorkflowGives,
    delivery: deliveryAsUsual,
    params: {},
    tenant,
  };
}

const output: TaskOutput = {
  name: 'result',
  key: 'a/b.png',
  size: 1,
  sha256: '',
  contentType: 'image/png',
  input: { kind: 'image', format: 'png', width: 64, height: 64 },
  output: null,
};

/** So many waiting tasks in all lines alike, some that have run, and vacuumed as it is in the end. */
async function fill(url: string, count: number): Promise<void> {
  const client = postgres(url, { max: 1, onnotice: () => {} });
  const names = `(array['${workflows.join("','")}'])[1 + i % ${workflows.length}]`;
  const owners = `(array['${tenants.join("','")}'])[1 + i / ${workflows.length} % ${tenants.length}]`;
  const sources = '[{"input": "image", "url": "http://a/b.png"}]';
  const insert = (rows: string, state: string) =>
    client.unsafe(`
      with arrival as (select gen_random_uuid() as id, gen_random_uuid() as run_id, * from (${rows}) as rows),
      planned as (
        insert into runs (
          id, task_ids, kind, workflow, sources, arguments, size, tenant, priority, rank, state, attempt, created_at)
        select run_id, array[id], 'image', workflow, '${sources}', '{}', '{}', tenant, 5,
               at - interval '50 minutes', '${state}', ${state === 'completed' ? 1 : 0}, at
          from arrival),
      taken as (
        insert into tasks (
          id, run_id, dialect, kind, sources, workflow, arguments, size, params, tenant, priority, state, events,
          created_at)
        select id, run_id, 'tmlsr', 'image', '${sources}', workflow, '{}', '{}', '{}', tenant, 5, '${state}', 1, at
          from arrival),
      counted as (
        insert into task_counts (workflow, state, shard, count)
        select workflow, '${state}', 0, count(*) from arrival group by workflow)
      insert into attempts (id, task_id, run_id, number, workflow, backend, gpu_ms, started_at, finished_at)
      select gen_random_uuid(), id, run_id, 1, workflow, 'http://backend', 1000, now(), now()
        from arrival where '${state}' = 'completed'`);
  const rows = (count: number) => `
    select ${names} as workflow, ${owners} as tenant, now() - (${count} - i) * interval '1 ms' as at
      from generate_series(1, ${count}) as i order by i`;
  await insert(rows(count), 'pending');
  await insert(rows(1_000), 'completed');
  await client.unsafe('vacuum analyze');
  // Or it comes while the clock runs, as the filling's and no one else's.
  await client.unsafe('checkpoint');
  await client.end();
}
