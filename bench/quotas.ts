/**
 * What quotas cost: the statement that writes a task, with and without a look at how many wait, and the figures that
 * are read early, behind a million tasks that have ended and as many as may wait. Then what a request costs in memory.
 *
 *   npx node bench/quotas.ts [ended tasks]
 */
import { addressGroup } from '../src/core/address-group.ts';
import { noQuotas } from '../src/core/quota.ts';
import { TokenBuckets } from '../src/core/token-buckets.ts';
import { sql } from '../src/db/drizzle.ts';
import { WrongKeys } from '../src/http/wrong-keys.ts';
import { QuotaStore } from '../src/tasks/quota-store.ts';
import { GatewayStores, newTask } from '../test/support/task-stores.ts';
import { connectTestDatabase, createTestDatabase } from '../test/support/test-database.ts';

const ended = Number(process.argv[2] ?? 1_000_000);
const rounds = 300;

await using scratch = await createTestDatabase('postgres');
await using database = await connectTestDatabase(scratch.options);
const { orm } = database;
// They would plan a run for each row.
await orm.execute(sql`alter table tasks disable trigger user`);

async function fill(count: number, tenant: string, state: string): Promise<void> {
  const isOver = state === 'completed';
  await orm.execute(sql`
    insert into tasks (id, run_id, dialect, kind, sources, workflow, arguments, size, params, priority, tenant, state, finished_at)
    select gen_random_uuid(), gen_random_uuid(), 'tmlsr', 'image', '[]', 'w', '{}', '{}', '{}', 5, ${tenant} || (n % 50), ${state},
           case when ${isOver} then now() end
      from generate_series(1, ${count}::int) as n`);
}
for (let done = 0; done < ended; done += 100_000)
  await fill(Math.min(100_000, ended - done), 't', 'completed');
await orm.execute(sql`
  insert into task_counts (workflow, state, shard, count)
  select 'w' || w, state, shard, 10 from generate_series(1, 24) as w, generate_series(0, 15) as shard,
         unnest(array['pending', 'processing', 'completed', 'failed', 'canceled']) as state`);
await orm.execute(sql`
  insert into usage (day, tenant, workflow, shard, gpu_ms)
  select current_date - day, 't' || t, 'w' || w, shard, 1 from generate_series(0, 30) as day, generate_series(0, 49) as t,
         generate_series(1, 5) as w, generate_series(0, 15) as shard`);
await orm.execute(sql`
  insert into tenant_totals (tenant, shard, stored_bytes)
  select 't' || t, shard, 1 from generate_series(0, 49) as t, generate_series(0, 15) as shard`);
await orm.execute(sql`
  insert into uploads (id, tenant, size) select gen_random_uuid(), 't' || (n % 50), 1 from generate_series(1, 50000) as n`);

const stores = new GatewayStores(database);
const quotas = new QuotaStore(orm);

async function time(name: string, work: () => Promise<unknown>): Promise<void> {
  const times: number[] = [];
  for (let round = 0; round < rounds + 30; round += 1) {
    const began = performance.now();
    await work();
    if (round >= 30) times.push(performance.now() - began);
  }
  times.sort((a, b) => a - b);
  const at = (share: number) => (times[Math.floor(times.length * share)] ?? 0).toFixed(2);
  console.log(`${name.padEnd(60)} p50 ${at(0.5)} ms   p95 ${at(0.95)} ms`);
}

for (const waiting of [0, 1_000, 10_000]) {
  const tenant = `busy${waiting}-0`;
  if (waiting > 0) await fill(waiting * 50, `busy${waiting}-`, 'pending');
  await orm.execute(sql`vacuum analyze`);
  const most = waiting + rounds * 10;
  const submit = (room: { waiting: number | null; queue: number | null } | null) => async () => {
    const task = newTask({ tenant });
    await (room ? stores.tasks.insert(task, room) : stores.tasks.insert(task));
  };
  await time(`submit, ${waiting} of its tenant wait, no quota`, submit(null));
  await time('  LIMIT_WAITING', submit({ waiting: most, queue: null }));
  await time('  MAX_QUEUE', submit({ waiting: null, queue: 1_000_000_000 }));
  const all = { ...noQuotas, waiting: most, storedBytes: 1, uploadBytes: 1, gpuSeconds: 1 };
  await time('  the figures that are held for half a second', () => quotas.standing(tenant, all));
}
await time('how many wait, of all', () => quotas.queue());
await time('heads', () => stores.claims.heads());

function timeCalls(name: string, work: () => void): void {
  const calls = 200_000;
  const began = performance.now();
  for (let call = 0; call < calls; call += 1) work();
  console.log(
    `${name.padEnd(60)} ${(((performance.now() - began) / calls) * 1_000).toFixed(2)} µs`,
  );
}

const requests = new TokenBuckets(1_000_000_000);
const wrongKeys = new WrongKeys(60);
timeCalls('a request of a tenant', () => requests.take('tenant', performance.now()));
timeCalls('a right key', () => {
  wrongKeys.refusal('192.0.2.1', 'a key of some length');
  wrongKeys.note('192.0.2.1', 'a key of some length', true);
});
timeCalls('the group of an IPv6 address', () => addressGroup('2001:db8::1'));
