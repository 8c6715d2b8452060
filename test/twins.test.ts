import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Claim } from '../src/core/attempt.ts';
import type { Database } from '../src/db/connect.ts';
import { eq, sql } from '../src/db/drizzle.ts';
import { rowsOf } from '../src/db/rows.ts';
import {
  attempts as attemptsTable,
  runs as runsTable,
  tasks as tasksTable,
} from '../src/db/schema.ts';
import { AttemptNews } from '../src/tasks/attempt-news.ts';
import { ClaimLostError } from '../src/tasks/attempt-store.ts';
import { QueueStats } from '../src/tasks/queue-stats.ts';
import { patienceMs } from './support/patience.ts';
import { backend, failure, GatewayStores, newTask, output, owner } from './support/task-stores.ts';
import {
  connectTestDatabase,
  createTestDatabase,
  engines,
  type TestDatabase,
} from './support/test-database.ts';

const later = { afterMs: 60_000, avoid: [], counts: true };

for (const engine of engines) {
  describe(`twins on ${engine}`, () => {
    let scratch: TestDatabase;
    let database: Database;
    let at: GatewayStores;

    before(async () => {
      scratch = await createTestDatabase(engine);
      database = await connectTestDatabase(scratch.options);
    });
    beforeEach(async () => {
      await database.orm.execute(sql`delete from tasks`);
      at = new GatewayStores(database);
    });
    after(async () => {
      await database[Symbol.asyncDispose]();
      await scratch[Symbol.asyncDispose]();
    });

    async function submit(
      name = 'a',
      {
        priority = 5,
        queueTimeoutMs = null,
      }: { priority?: number; queueTimeoutMs?: number | null } = {},
    ): Promise<string> {
      const sources = [{ input: 'image', url: `https://example.com/${name}.png` }];
      const { id } = await at.tasks.insert(newTask({ sources, priority, queueTimeoutMs }));
      return id;
    }

    /** A run that leads, and so many tasks that have joined it, in the order of their arrival. */
    async function family(followers: number) {
      const leading = await at.claim(await submit('leader', { queueTimeoutMs: 60_000 }), backend);
      assert.deepEqual(await at.twins.seek(leading, 'f'), { kind: 'leads' });
      const leader = knownAs(leading, 'f');
      const ids: string[] = [];
      for (let i = 0; i < followers; i += 1) {
        const id = await submit(`follower-${i}`);
        assert.deepEqual(await at.twins.seek(await at.claim(id, backend), 'f'), { kind: 'joined' });
        ids.push(id);
      }
      return { leader, followers: ids };
    }

    const taskOf = async (id: string) => {
      const task = await at.tasks.find(id, owner);
      assert.ok(task);
      return task;
    };
    const statesOf = async (ids: readonly string[]) =>
      (await Promise.all(ids.map(taskOf))).map(({ state }) => state);

    async function runOf(id: string) {
      const { runId } = await taskOf(id);
      const [run] = await database.orm
        .select()
        .from(runsTable)
        .where(eq(runsTable.id, runId ?? ''));
      assert.ok(run);
      return run;
    }

    it('one leads; the others wait for its run, and nothing is left of their own', async () => {
      const { leader, followers } = await family(2);
      const run = await runOf(leader.task.id);
      assert.deepEqual(run.taskIds, [leader.task.id, ...followers]);
      for (const id of followers) assert.equal((await taskOf(id)).runId, run.id);
      assert.deepEqual(await statesOf(followers), ['processing', 'processing']);
      const rows = await database.orm.select({ id: attemptsTable.id }).from(attemptsTable);
      assert.deepEqual(rows, [{ id: leader.attempt.id }]);
      assert.equal((await database.orm.select().from(runsTable)).length, 1);
      const counts = await new QueueStats(database.orm).counts();
      assert.equal(counts.get('esrgan_image_4x')?.processing, 3);
    });

    it('show how far the run is that they share', async () => {
      const { leader, followers } = await family(1);
      const news = new AttemptNews();
      news.finish('download', 'Download complete');
      news.begin('process');
      news.proceed('process', { progress: 40, detail: 'Upscale' });
      await at.attempts.record(leader, news);
      const late = await submit();
      await at.twins.seek(await at.claim(late, backend), 'f');
      for (const id of [leader.task.id, ...followers, late]) {
        const { stages } = await taskOf(id);
        assert.deepEqual(
          stages.map(({ state, progress, detail }) => [state, progress, detail]),
          [
            ['success', 100, 'Download complete'],
            ['running', 40, 'Upscale'],
            ['pending', 0, null],
          ],
        );
      }
    });

    it('exactly one of many leads that look at the same time, at several gateways', async () => {
      const claims = await Promise.all(
        Array.from({ length: 12 }, async () => {
          const stores = new GatewayStores(database);
          return { stores, claim: await stores.claim(await submit(), backend) };
        }),
      );
      const roles = await Promise.all(
        claims.map(async ({ stores, claim }) => (await stores.twins.seek(claim, 'f')).kind),
      );
      assert.equal(roles.filter((kind) => kind === 'leads').length, 1);
      assert.equal(roles.filter((kind) => kind === 'joined').length, 11);
    });

    it('are completed together, each with outputs of its own', async () => {
      const { leader, followers } = await family(2);
      const first = await at.attempts.complete(leader, new Map([[leader.task.id, [output]]]));
      assert.equal(first.kind, 'incomplete');
      assert.deepEqual(
        new Set(first.kind === 'incomplete' ? first.missing.map(({ id }) => id) : []),
        new Set(followers),
      );
      assert.deepEqual(await statesOf([leader.task.id]), ['processing'], 'half of it was written');
      const copy = (id: string) => ({ ...output, key: `${id}/b.png`, takenFrom: leader.task.id });
      const all = [leader.task.id, ...followers];
      const deliveries = new Map(all.map((id) => [id, [copy(id)]]));
      assert.equal((await at.attempts.complete(leader, deliveries)).kind, 'completed');
      for (const id of all) {
        const { state, outputs, finishedAt } = await taskOf(id);
        assert.deepEqual([state, outputs], ['completed', [copy(id)]]);
        assert.ok(finishedAt);
      }
    });

    it('are shown to be through all stages when they are completed', async () => {
      const { leader, followers } = await family(1);
      const news = new AttemptNews();
      news.begin('download');
      await at.attempts.record(leader, news);
      const all = [leader.task.id, ...followers];
      await at.attempts.complete(leader, new Map(all.map((id) => [id, [output]])));
      for (const { stages } of await Promise.all(all.map(taskOf))) {
        assert.deepEqual(
          stages.map(({ state, progress }) => [state, progress]),
          stages.map(() => ['success', 100]),
        );
      }
    });

    it('may be told of while one is about to be completed, and none is forgotten', async () => {
      const { leader } = await family(0);
      const joining = await at.claim(await submit(), backend);
      const [completion, role] = await Promise.all([
        at.attempts.complete(leader, new Map([[leader.task.id, [output]]])),
        at.twins.seek(joining, 'f'),
      ]);
      // Whoever was first, the other knows.
      if (role.kind === 'joined') assert.equal(completion.kind, 'incomplete');
      else assert.deepEqual([completion.kind, role.kind], ['completed', 'takes']);
    });

    it('the run goes on for the others when its first task is canceled, from their sources', async () => {
      const { leader, followers } = await family(2);
      await at.tasks.cancel(leader.task.id, owner);
      assert.deepEqual(await statesOf([leader.task.id, ...followers]), [
        'canceled',
        'processing',
        'processing',
      ]);
      const run = await runOf(followers[0] ?? '');
      assert.equal(run.sources[0]?.url, 'https://example.com/follower-0.png');
      assert.deepEqual(run.taskIds, followers);
      const all = [leader.task.id, ...followers];
      const completion = await at.attempts.complete(
        leader,
        new Map(all.map((id) => [id, [output]])),
      );
      assert.equal(completion.kind, 'completed');
      if (completion.kind === 'completed')
        assert.deepEqual(new Set(completion.taskIds), new Set(followers));
      assert.deepEqual(await statesOf(all), ['canceled', 'completed', 'completed']);
      assert.equal((await taskOf(leader.task.id)).outputs, null);
    });

    it('the run ends when the last of them is canceled, and not before', async () => {
      const { leader, followers } = await family(1);
      await at.tasks.cancel(followers[0] ?? '', owner);
      assert.equal(await at.attempts.isCanceled(leader), false);
      assert.equal(at.told.at(-1)?.run.state, 'processing');
      await at.tasks.cancel(leader.task.id, owner);
      assert.equal(await at.attempts.isCanceled(leader), true);
      assert.equal(at.told.at(-1)?.run.state, 'canceled');
      await assert.rejects(at.complete(leader, [output]), ClaimLostError);
    });

    it('wait together for another attempt, and one that comes meanwhile waits with them', async () => {
      const { leader, followers } = await family(1);
      await at.attempts.retry(leader, failure, later);
      const late = await submit('late', { priority: 9 });
      const all = [leader.task.id, ...followers, late];
      assert.deepEqual(
        await at.twins.seek(await at.claim(late, backend), 'f'),
        { kind: 'joined' },
        'it would be run beside the other',
      );
      for (const id of all) {
        const { state, error, runAfter, retries } = await taskOf(id);
        assert.deepEqual([state, error, retries], ['pending', failure, 1]);
        assert.ok(runAfter);
      }
      // It is as urgent as the most urgent of them, and waits as long as the most patient.
      const { priority, queueDeadline } = await runOf(late);
      assert.deepEqual([priority, queueDeadline], [9, null]);
    });

    it('wait as long as the most patient of them may', async () => {
      const { leader } = await family(0);
      await at.attempts.retry(leader, failure, later);
      const deadline = async () => Number((await runOf(leader.task.id)).queueDeadline);
      const alone = await deadline();
      const join = async (queueTimeoutMs: number) => {
        const claim = await at.claim(await submit('late', { queueTimeoutMs }), backend);
        assert.deepEqual(await at.twins.seek(claim, 'f'), { kind: 'joined' });
      };
      await join(1_000);
      assert.equal(await deadline(), alone, 'the patient one would be failed with the other');
      await join(180_000);
      assert.ok((await deadline()) > alone + 60_000);
    });

    it('fail together where the run fails', async () => {
      const { leader, followers } = await family(2);
      await at.attempts.fail(leader, failure);
      const all = [leader.task.id, ...followers];
      assert.deepEqual(await statesOf(all), ['failed', 'failed', 'failed']);
      assert.deepEqual((await taskOf(followers[1] ?? '')).error, failure);
    });

    it('have runs of their own again where they turn out not to make the same', async () => {
      const { leader, followers } = await family(2);
      await at.attempts.separate(leader, followers);
      assert.deepEqual(await statesOf([leader.task.id, ...followers]), [
        'processing',
        'pending',
        'pending',
      ]);
      const [first, second] = await Promise.all(followers.map(runOf));
      assert.equal(first?.sources[0]?.url, 'https://example.com/follower-0.png');
      assert.ok((first?.rank ?? 0) < (second?.rank ?? 0), 'the order of arrival is lost');
      assert.deepEqual((await runOf(leader.task.id)).taskIds, [leader.task.id]);
      const lost = knownAs({ ...leader, attempt: { ...leader.attempt, number: 7 } }, 'f');
      await at.attempts.separate(lost, [leader.task.id]);
      assert.equal((await taskOf(leader.task.id)).runId, leader.run.id);
      await at.complete(leader, [output]);
      const counts = (await new QueueStats(database.orm).counts()).get('esrgan_image_4x');
      assert.deepEqual([counts?.pending, counts?.processing, counts?.completed], [2, 0, 1]);
    });

    it('one that joins while the run fails fails with it', async () => {
      const { leader } = await family(0);
      const late = await submit('late');
      let failing: Promise<void> | null = null;
      await database.orm.transaction(async (tx) => {
        const other = new GatewayStores({ orm: tx });
        await other.twins.seek(await other.claim(late, backend), 'f');
        // It has begun when this is committed, and waits for the run.
        failing = at.attempts.fail(leader, failure);
        await delay(200);
      });
      await failing;
      assert.deepEqual(await statesOf([leader.task.id, late]), ['failed', 'failed']);
    });

    it('one that was canceled is so once, and stays so', async () => {
      const { leader, followers } = await family(2);
      const [gone = '', kept = ''] = followers;
      const wishes = [];
      for (let i = 0; i < 2; i += 1) wishes.push(await at.tasks.cancel(gone, owner));
      assert.deepEqual(
        wishes.map((wish) => wish?.isCanceled),
        [true, false],
      );
      await at.attempts.separate(leader, followers);
      assert.deepEqual(await statesOf(followers), ['canceled', 'pending']);
      assert.notEqual((await taskOf(kept)).runId, leader.run.id);
      const counts = (await new QueueStats(database.orm).counts()).get('esrgan_image_4x');
      assert.deepEqual([counts?.canceled, counts?.processing, counts?.pending], [1, 1, 1]);
    });

    it('a run ends that all have left', async () => {
      const { leader, followers } = await family(2);
      await at.tasks.cancel(leader.task.id, owner);
      await at.attempts.separateOthers(leader);
      assert.deepEqual(await statesOf(followers), ['pending', 'pending']);
      assert.ok(await at.attempts.isCanceled(leader));
      await assert.rejects(at.attempts.handBack(leader, false), ClaimLostError);
      assert.equal((await at.claims.heads()).length, 1);
    });

    it('none joins a run that makes something else by now', async () => {
      const { leader } = await family(1);
      await at.attempts.separateOthers(leader);
      const late = await at.claim(await submit('late'), backend);
      assert.deepEqual(await at.twins.seek(late, 'f'), { kind: 'leads' });
    });

    it('nothing is taken that was removed, has expired, or was forgotten', async () => {
      const { leader } = await family(0);
      await at.complete(leader, [output]);
      const isTaken = async () => {
        const another = await at.claim(await submit(), backend);
        const role = await at.twins.seek(another, 'f');
        if (role.kind === 'takes') {
          const taken = { taskId: leader.task.id, outputs: [output], warnings: [] };
          assert.deepEqual(role.twin, taken);
        }
        await at.attempts.fail(knownAs(another, 'f'), failure);
        return role.kind === 'takes';
      };
      const set = (change: Partial<typeof tasksTable.$inferInsert>) =>
        database.orm.update(tasksTable).set(change).where(eq(tasksTable.id, leader.task.id));
      assert.equal(await isTaken(), true);
      await set({ keepUntil: new Date(Date.now() - 1_000) });
      assert.equal(await isTaken(), false);
      await set({ keepUntil: new Date(Date.now() + patienceMs) });
      assert.equal(await isTaken(), true);
      await set({ removedAt: new Date() });
      assert.equal(await isTaken(), false);
      await set({ removedAt: null });
      await at.twins.forget('f');
      assert.equal(await isTaken(), false);
    });

    it('a gateway that has lost the run decides nothing', async () => {
      const lost = await at.claim(await submit(), backend);
      await at.tasks.cancel(lost.task.id, owner);
      await assert.rejects(at.twins.seek(lost, 'f'), ClaimLostError);
      const { leader } = await family(0);
      const alsoLost = await at.claim(await submit(), backend);
      await at.tasks.cancel(alsoLost.task.id, owner);
      await assert.rejects(at.twins.seek(alsoLost, 'f'), ClaimLostError);
      assert.deepEqual(await statesOf([alsoLost.task.id]), ['canceled']);
      assert.deepEqual((await runOf(leader.task.id)).taskIds, [leader.task.id]);
    });

    it('come to an end, one led at a time, however they end and whoever looks', async () => {
      const ids = await Promise.all(Array.from({ length: 40 }, () => submit()));
      const gateways = Array.from({ length: 4 }, () => new GatewayStores(database));
      const problems: unknown[] = [];
      let isOver = false;
      let most = 0;
      let shared = 0;
      const beside = async (work: () => Promise<unknown>) => {
        while (!isOver) {
          await work().catch((error) => problems.push(error));
          // PGlite leaves no time for timers.
          await delay(1);
        }
      };
      const deliver = async (stores: GatewayStores, claim: Claim) => {
        const deliveries = new Map([[claim.task.id, [output]]]);
        for (;;) {
          const completion = await stores.attempts.complete(claim, deliveries);
          if (completion.kind === 'completed') return;
          for (const { id } of completion.missing) deliveries.set(id, [output]);
        }
      };
      const work = async (stores: GatewayStores) => {
        for (let turn = 0; !isOver; turn += 1) {
          await delay(1);
          const [head] = await stores.claims.heads();
          const claimed = head && (await stores.claims.claim(head.id, backend));
          if (!claimed) continue;
          try {
            const { kind } =
              claimed.run.fingerprint === 'f'
                ? { kind: 'leads' as const }
                : await stores.twins.seek(claimed, 'f');
            if (kind === 'joined') {
              shared += 1;
              continue;
            }
            const leading = knownAs(claimed, 'f');
            // A busy machine takes its time to find the first one that leads.
            if (kind === 'leads') await delay(shared === 0 ? 200 : 20);
            if (kind === 'leads' && turn % 5 === 1) await stores.attempts.fail(leading, failure);
            else if (kind === 'leads' && turn % 5 === 3) {
              await stores.attempts.handBack(leading, false);
            } else await deliver(stores, leading);
          } catch (error) {
            if (!(error instanceof ClaimLostError)) problems.push(error);
          }
        }
      };
      const count = async (query: Parameters<typeof database.orm.execute>[0]) => {
        const result = await database.orm.execute(query);
        return rowsOf<{ count: number }>(result)[0]?.count ?? 0;
      };
      const others = [
        // What renews claims has all of their rows locked.
        ...gateways.map(({ claims }) =>
          beside(async () => {
            const open = sql`select id from runs where state = 'processing'`;
            const runs = rowsOf<{ id: string }>(await database.orm.execute(open));
            await claims.renew(runs.map(({ id }) => id).toReversed());
          }),
        ),
        beside(async () => {
          await delay(20);
          await at.tasks.cancel(ids.shift() ?? '', owner);
        }),
        beside(async () => {
          most = Math.max(
            most,
            await count(sql`select count(*)::int as count from runs
                where fingerprint is not null and state in ('pending', 'processing')`),
          );
        }),
        ...gateways.map(work),
      ];
      const deadline = Date.now() + patienceMs;
      try {
        for (;;) {
          const open = await count(
            sql`select count(*)::int as count from tasks where state in ('pending', 'processing')`,
          );
          if (open === 0 || Date.now() > deadline) break;
          await delay(20);
        }
      } finally {
        isOver = true;
      }
      const leftAt = Date.now();
      await Promise.all(others);
      assert.ok(leftAt < deadline, 'some of them never came to an end');
      assert.deepEqual(problems, []);
      assert.ok(most <= 1, `${most} led at a time`);
      assert.ok(shared > 0);
      const disagreeing = sql`
        select count(*)::int as count from tasks join runs on runs.id = tasks.run_id
         where tasks.state <> runs.state and tasks.state <> 'canceled'
            or not tasks.id = any(runs.task_ids) and tasks.state <> 'canceled'`;
      assert.equal(await count(disagreeing), 0, 'tasks and runs disagree');
    });
  });
}

/** As the gateway knows it that has looked for twins. */
function knownAs(claim: Claim, fingerprint: string): Claim {
  return { ...claim, run: { ...claim.run, fingerprint } };
}
