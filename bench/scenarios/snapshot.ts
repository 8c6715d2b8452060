import postgres from 'postgres';
import type { Database } from '../../src/db/connect.ts';
import { GatewayStores } from '../../test/support/task-stores.ts';
import { type Figure, quantile, type Scenario } from '../support/figures.ts';
import { MeteredServer } from '../support/metered-server.ts';

const waiting = 60_000;
/** So many runs are begun and end between two looks: what 200 a second make in 50 seconds. */
const atOnce = 10_000;
const looks = 4;
const rounds = 40;

/**
 * Two databases of one server. In one of them another session has begun a transaction and stands idle: what was
 * replaced since then stays, for its sake, and whoever looks for the head of a line passes over it.
 */
export const snapshot: Scenario = {
  title: 'the heads of all lines beside a transaction that stands idle',

  async measure(): Promise<Figure[]> {
    await using server = await MeteredServer.start();
    await using alone = await Queue.fill(server, 'alone');
    await using beside = await Queue.fill(server, 'beside');
    const idler = postgres(beside.url, { max: 1 });
    const [begun, over] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const holding = idler.begin('isolation level repeatable read', async (tx) => {
      await tx`select 1`;
      begun.resolve();
      await over.promise;
    });
    await begun.promise;
    const figures = await compared('at its beginning', alone, beside);
    for (let look = 1; look <= looks; look += 1) {
      for (const queue of [alone, beside]) await queue.work(atOnce);
      figures.push(...(await compared(`after ${atOnce * look} runs`, alone, beside)));
    }
    over.resolve();
    await holding;
    await idler.end();
    // The first one marks what is dead.
    await beside.heads();
    figures.push(...(await compared('after its end', alone, beside)));
    return figures;
  },
};

async function compared(when: string, alone: Queue, beside: Queue): Promise<Figure[]> {
  const times = { alone: [] as number[], beside: [] as number[] };
  for (let i = 0; i < rounds; i += 1) {
    times.alone.push(await alone.heads());
    times.beside.push(await beside.heads());
  }
  const [one, other] = [quantile(times.alone, 0.5), quantile(times.beside, 0.5)];
  const [pages, more] = [await alone.pages(), await beside.pages()];
  return [
    { what: `${when}, p50: ${one.toFixed(2)} ms, ${other.toFixed(2)} ms; ratio`, is: other / one },
    { what: `${when}, pages that are read: ${pages}, and beside it`, is: more },
  ];
}

class Queue implements AsyncDisposable {
  readonly url: string;
  readonly #name: string;
  readonly #server: MeteredServer;
  readonly #database: Database;
  readonly #stores: GatewayStores;
  readonly #client: postgres.Sql;

  private constructor(server: MeteredServer, name: string, url: string, database: Database) {
    this.#server = server;
    this.#name = name;
    this.url = url;
    this.#database = database;
    this.#stores = new GatewayStores(database);
    this.#client = postgres(url, { max: 1, onnotice: () => {} });
  }

  /** Runs that wait, in 15 lines. */
  static async fill(server: MeteredServer, name: string): Promise<Queue> {
    const url = await server.create(name);
    const queue = new Queue(server, name, url, await server.connect(url));
    await queue.#client.unsafe(`
      insert into runs (id, task_ids, kind, workflow, sources, arguments, size, tenant, priority, rank)
      select gen_random_uuid(), array[gen_random_uuid()], 'image', 'w' || i % 3, '[]', '{}', '{}', 't' || i / 3 % 5, 5,
             now() + i * interval '1 ms'
        from generate_series(1, ${waiting}) as i`);
    await queue.#client.unsafe('vacuum analyze runs');
    return queue;
  }

  /** The first that wait are begun and end, as the moves write it: two updates each. */
  async work(count: number): Promise<void> {
    await this.#client.unsafe(`
      update runs set state = 'processing', owner = gen_random_uuid(), lease_until = now(), attempt = 1
       where id in (select id from runs where state = 'pending' order by rank limit ${count})`);
    await this.#client.unsafe(`
      update runs set state = 'completed', owner = null, lease_until = null where state = 'processing'`);
  }

  /** How long the gateway takes to see the head of each line, milliseconds. */
  async heads(): Promise<number> {
    const startedAt = performance.now();
    const { length } = await this.#stores.claims.heads();
    if (length === 0) throw new Error('Nothing waits');
    return performance.now() - startedAt;
  }

  /** How many pages of the database that touches. */
  async pages(): Promise<number> {
    return (await this.#server.asked(this.#name, () => this.heads())).pages;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.end();
    await this.#database[Symbol.asyncDispose]();
  }
}
