import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Claim } from '../src/core/attempt.ts';
import type { Database } from '../src/db/connect.ts';
import { type SQL, sql } from '../src/db/drizzle.ts';
import { rowsOf } from '../src/db/rows.ts';
import { AttemptNews } from '../src/tasks/attempt-news.ts';
import { ClaimLostError } from '../src/tasks/attempt-store.ts';
import { patienceMs } from './support/patience.ts';
import { backend, failure, GatewayStores, newTask, output, owner } from './support/task-stores.ts';
import {
  connectTestDatabase,
  createTestDatabase,
  engines,
  type TestDatabase,
} from './support/test-database.ts';

/** A storm lasts so long; whatever is open then comes to its end in peace. */
const stormMs = 1_000;

const below = (limit: number) => Math.floor(Math.random() * limit);
const oneOf = <T>(choices: readonly T[]) => choices[below(choices.length)] as T;

for (const engine of engines) {
  describe(`a storm of moves on ${engine}`, () => {
    let scratch: TestDatabase;
    let database: Database;

    before(async () => {
      scratch = await createTestDatabase(engine);
      database = await connectTestDatabase(scratch.options);
    });
    after(async () => {
      await database[Symbol.asyncDispose]();
      await scratch[Symbol.asyncDispose]();
    });

    it('leaves runs, tasks, counts and events in accord, and loses nothing', async () => {
      const problems: unknown[] = [];
      const ids: string[] = [];
      let isOver = false;
      let isCalm = false;
      const gateways = Array.from({ length: 4 }, () => new GatewayStores(database));

      const submit = async (at: GatewayStores) => {
        const { id } = await at.tasks.insert(
          newTask({
            sources: [{ input: 'image', url: `https://example.com/${below(3)}.png` }],
            workflow: oneOf(['esrgan_image_4x', 'other']),
            priority: below(11),
            queueTimeoutMs: oneOf([null, null, 200]),
          }),
        );
        ids.push(id);
      };
      const told = () => {
        const news = new AttemptNews();
        news.begin('process');
        news.proceed('process', { progress: below(100), detail: null });
        if (below(2) === 0) news.gpu = { ms: below(100), isTypical: false };
        return news;
      };
      const deliver = async (at: GatewayStores, claim: Claim) => {
        const deliveries = new Map([[claim.task.id, [output]]]);
        for (;;) {
          const completion = await at.attempts.complete(claim, deliveries);
          if (completion.kind === 'completed') return;
          for (const { id } of completion.missing) {
            // A client may cancel it in between.
            await delay(below(3));
            if (below(3) === 0) await at.attempts.separate(claim, [id]);
            else deliveries.set(id, [output]);
          }
        }
      };
      const end = async (at: GatewayStores, claim: Claim) => {
        const again = { afterMs: below(20), avoid: [backend], counts: true };
        const prompt = { promptId: claim.attempt.id, backend, input: null, sourceBytes: 3 };
        const ways = [
          () => deliver(at, claim),
          () => deliver(at, claim),
          () => at.attempts.fail(claim, failure),
          () => at.attempts.retry(claim, failure, again),
          () => at.attempts.handBack(claim, false),
          async () => {
            const news = told();
            news.prompt = prompt;
            await at.attempts.record(claim, news);
            await at.attempts.handBack(claim, true);
          },
          async () => {
            await at.attempts.separateOthers(claim);
            await deliver(at, claim);
          },
          // Its gateway dies.
          async () => {},
        ];
        await (isCalm ? deliver(at, claim) : oneOf(ways)());
      };
      const work = async (at: GatewayStores, claim: Claim) => {
        const fingerprint = oneOf(['f', 'g', 'h']);
        const role = await at.twins.seek(claim, fingerprint);
        if (role.kind === 'joined') return;
        const leading = { ...claim, run: { ...claim.run, fingerprint } };
        await at.attempts.record(leading, told());
        await delay(below(isCalm ? 2 : 30));
        await end(at, leading);
      };
      const begin = async (at: GatewayStores) => {
        const heads = await at.claims.heads();
        if (heads.length === 0) return;
        const claim = await at.claims.claim(oneOf(heads).id, backend);
        if (claim) await work(at, claim);
      };
      const sweep = async (at: GatewayStores) => {
        for (const claim of await at.claims.takeOver([backend])) await work(at, claim);
        await at.claims.requeueAbandoned(60);
        await at.claims.wakeWaiting();
        await at.claims.expireQueued();
      };
      /** As if the gateways of so many runs slept. */
      const age = (most: number) =>
        database.orm.execute(sql`
        update runs set lease_until = now() - interval '1 s' from (
          select id from runs where state = 'processing' order by random() limit ${most}
             for update skip locked
        ) as sleeping where runs.id = sleeping.id`);
      const renew = async (at: GatewayStores) => {
        const open = sql`select id from runs where state = 'processing'`;
        const held = rowsOf<{ id: string }>(await database.orm.execute(open));
        await at.claims.renew(held.map(({ id }) => id).toReversed());
      };
      const cancel = async (at: GatewayStores) => {
        const id = oneOf(ids.slice(-30));
        if (id !== undefined) await at.tasks.cancel(id, owner);
      };
      const beside = async (work: () => Promise<void>) => {
        while (!isOver) {
          await work().catch((error) => {
            if (!(error instanceof ClaimLostError)) problems.push(error);
          });
          // PGlite leaves no time for timers.
          await delay(1);
        }
      };
      const count = async (query: SQL) =>
        rowsOf<{ count: number }>(await database.orm.execute(query))[0]?.count ?? 0;

      const working = gateways.flatMap((at) => [
        ...[1, 2, 3].map(() => beside(() => begin(at))),
        beside(() => sweep(at)),
        beside(async () => {
          if (!isCalm) await submit(at);
          await delay(below(10));
        }),
        beside(async () => {
          if (!isCalm) await cancel(at);
          await delay(below(20));
        }),
        beside(async () => {
          if (isCalm) return;
          await renew(at);
          await age(2);
          await delay(below(30));
        }),
      ]);
      try {
        await delay(stormMs);
        isCalm = true;
        const deadline = Date.now() + patienceMs;
        const isOpen = sql`state in ('pending', 'processing')`;
        for (let looks = 0; ; looks += 1) {
          // Nobody works on what was left; what is worked on may begin again now and then.
          if (looks % 50 === 0) await age(1_000);
          const open = await count(sql`select count(*)::int as count from runs where ${isOpen}`);
          if (open === 0 || Date.now() > deadline) break;
          await delay(20);
        }
      } finally {
        isOver = true;
      }
      await Promise.all(working);

      const found: Record<string, unknown> = problems.length > 0 ? { problems } : {};
      for (const [what, query] of Object.entries(broken)) {
        const rows = rowsOf(await database.orm.execute(query));
        if (rows.length > 0) found[what] = rows;
      }
      assert.deepEqual(found, {});
      const kept = await count(sql`select count(*)::int as count from tasks`);
      assert.equal(kept, ids.length, 'tasks were lost');
      const happened = await count(sql`select count(*)::int as count from task_events`);
      const heard = gateways.flatMap(({ told }) => told).length;
      assert.equal(heard, happened, 'events were told that are not kept, or the other way round');
    });
  });
}

/** Each finds nothing where all is well. */
const broken = {
  'open runs and tasks': sql`
    select tasks.id, tasks.state, runs.state as run from tasks left join runs on runs.id = tasks.run_id
     where runs.id is null and tasks.state <> 'canceled'
        or tasks.state in ('pending', 'processing') or runs.state in ('pending', 'processing')
     limit 5`,
  'runs that nobody waits for': sql`
    select id, state, task_ids from runs where task_ids = '{}' and state <> 'canceled' limit 5`,
  'tasks that do not stand as their runs do': sql`
    select tasks.id, tasks.state, runs.state as run from tasks join runs on runs.id = tasks.run_id
     where tasks.state <> 'canceled' and (
             tasks.state <> runs.state or cardinality(array_positions(runs.task_ids, tasks.id)) <> 1)
     limit 5`,
  'runs that list tasks of others': sql`
    select runs.id, tasks.id as task from runs, tasks
     where tasks.id = any(runs.task_ids) and tasks.run_id <> runs.id limit 5`,
  'counts that are wrong': sql`
    select workflow, state, sum(counted) as counted, sum(real) as real
      from (select workflow, state, count as counted, 0 as real from task_counts
            union all select workflow, state, 0, 1 from tasks) as both_of_them
     group by workflow, state having sum(counted) <> sum(real)`,
  'usage that is wrong': sql`
    select workflow, sum(submitted) as submitted, sum(completed) as completed, sum(failed) as failed,
           sum(canceled) as canceled, sum(gpu_ms) as gpu_ms, sum(source_bytes) as source_bytes,
           sum(stored_bytes) as stored_bytes
      from (select workflow, submitted, completed, failed, canceled, gpu_ms, source_bytes, stored_bytes from usage
            union all
            select workflow, -1, -(state = 'completed')::int, -(state = 'failed')::int,
                   -(state = 'canceled')::int, 0, 0, -coalesce(stored_bytes, 0) from tasks
            union all
            select workflow, 0, 0, 0, 0, -coalesce(used_ms, 0), -coalesce(source_bytes, 0), 0
              from attempts) as both_of_them
     group by workflow
    having (sum(submitted), sum(completed), sum(failed), sum(canceled), sum(stored_bytes)) <> (0, 0, 0, 0, 0)
        -- A run that is given up for another one takes its failed attempts with it.
        or sum(gpu_ms) < 0 or sum(source_bytes) < 0`,
  'totals of tenants that are wrong': sql`
    select sum(bytes) as bytes, sum(ms) as ms from (
      select stored_bytes as bytes, charged_ms as ms from tenant_totals
      union all select -coalesce(stored_bytes, 0), 0 from tasks
      union all select 0, -gpu_ms from usage) as both_of_them
    having sum(bytes) <> 0 or sum(ms) <> 0`,
  'events with gaps': sql`
    select tasks.id, tasks.events, array_agg(task_events.number order by number) as numbers
      from tasks left join task_events on task_events.task_id = tasks.id
     group by tasks.id, tasks.events
    having array_agg(task_events.number order by number)
           is distinct from array(select generate_series(1, tasks.events)) limit 5`,
  'ends that are not the last event, once': sql`
    select tasks.id, tasks.state, array_agg(task_events.kind order by number) as kinds
      from tasks join task_events on task_events.task_id = tasks.id
     group by tasks.id, tasks.state, tasks.events
    having count(*) filter (
             where task_events.kind in ('completed', 'failed', 'rejected', 'expired', 'canceled')) <> 1
        or (array_agg(task_events.kind order by number desc))[1] not in (
             'completed', 'failed', 'rejected', 'expired', 'canceled') limit 5`,
  'stages that go on after the end': sql`
    select tasks.id, tasks.state, task_stages.name, task_stages.state as stage
      from tasks join task_stages on task_stages.task_id = tasks.id
     where task_stages.state in ('pending', 'running') limit 5`,
  'tasks without their stages': sql`
    select task_id from task_stages group by task_id having count(*) <> 3 limit 5`,
  'completed tasks without results': sql`
    select id, state from tasks where (state = 'completed') <> (outputs is not null) limit 5`,
} satisfies Record<string, SQL>;
