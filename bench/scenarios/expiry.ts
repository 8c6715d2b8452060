import { setTimeout as delay } from 'node:timers/promises';
import postgres from 'postgres';
import { connectDatabase } from '../../src/db/connect.ts';
import { PostgresServer } from '../../test/support/postgres-server.ts';
import { GatewayStores } from '../../test/support/task-stores.ts';
import type { Figure, Scenario } from '../support/figures.ts';

const many = 16_000;
const owner = { dialect: 'tmlsr', tenant: null };
/** A client's cancel answers within that, milliseconds. */
const bar = 1_000;

/** What clients feel while the gateway ends or requeues very many tasks in one sweep. */
export const expiry: Scenario = {
  title: `what a cancel takes while ${many} tasks expire, or are requeued, at once`,

  async measure(): Promise<Figure[]> {
    await using server = await PostgresServer.start();
    await using database = await connectDatabase({ engine: 'postgres', url: server.url });
    const client = postgres(server.url, { max: 1, onnotice: () => {} });
    const stores = new GatewayStores(database);
    const figures: Figure[] = [];
    for (const [what, sweep] of [
      ['expire', () => stores.claims.expireQueued()],
      ['are requeued', () => stores.claims.requeueAbandoned(60_000)],
    ] as const) {
      await fill(client, what === 'expire' ? 'pending' : 'processing');
      const { seconds, count, slowest } = await beside(stores, sweep);
      if (count !== many) throw new Error(`${count} of ${many} ${what}`);
      figures.push(
        { what: `${many} ${what}: seconds in all`, is: seconds },
        { what: `the slowest cancel meanwhile, ms`, is: slowest, atMost: bar },
      );
    }
    await client.end();
    return figures;
  },
};

async function beside(stores: GatewayStores, sweep: () => Promise<number>) {
  let isOver = false;
  let slowest = 0;
  const canceling = (async () => {
    while (!isOver) {
      const { id } = await stores.tasks.insert({
        ...{ dialect: 'tmlsr', kind: 'image', sources: [], workflow: 'other', workflowHash: '' },
        ...{ arguments: {}, params: {}, size: { outscale: null, magnification: null, dims: null } },
        delivery: { format: null, quality: null, keepsMetadata: false, putUrl: null },
      });
      const startedAt = performance.now();
      await stores.tasks.cancel(id, owner);
      slowest = Math.max(slowest, performance.now() - startedAt);
      await delay(20);
    }
  })();
  const startedAt = performance.now();
  const count = await sweep();
  const seconds = (performance.now() - startedAt) / 1_000;
  isOver = true;
  await canceling;
  return { seconds, count, slowest };
}

async function fill(client: postgres.Sql, state: 'pending' | 'processing'): Promise<void> {
  const isBegun = state === 'processing';
  const past = `now() - interval '1 s'`;
  await client.unsafe(`
    delete from tasks;
    with arrival as (
      select gen_random_uuid() as id, gen_random_uuid() as run_id from generate_series(1, ${many})),
    planned as (
      insert into runs (
        id, task_ids, kind, workflow, sources, arguments, size, priority, rank, state, attempt, owner,
        lease_until, queue_deadline)
      select run_id, array[id], 'image', 'red', '[]', '{}', '{}', 5, now(), '${state}', ${isBegun ? 1 : 0},
             ${isBegun ? 'gen_random_uuid()' : 'null'}, ${isBegun ? past : 'null'}, ${isBegun ? 'null' : past}
        from arrival),
    taken as (
      insert into tasks (
        id, run_id, dialect, kind, sources, workflow, arguments, size, params, priority, state, events)
      select id, run_id, 'tmlsr', 'image', '[]', 'red', '{}', '{}', '{}', 5, '${state}', 1 from arrival
      returning id)
    insert into task_counts (workflow, state, shard, count)
    select 'red', '${state}', 15, ${many}
    on conflict (workflow, state, shard) do update set count = task_counts.count + excluded.count;
    insert into task_stages (task_id, name)
    select id, name from tasks, (values ('download'), ('process'), ('upload')) as stage (name);
    analyze`);
}
