import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, beforeEach, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Claim } from '../src/core/attempt.ts';
import { deliveryAsUsual } from '../src/core/delivery.ts';
import { sizeAsTheWorkflowGives } from '../src/core/size-plan.ts';
import type { TaskError, TaskOutput } from '../src/core/task.ts';
import type { Database } from '../src/db/connect.ts';
import { eq, sql } from '../src/db/drizzle.ts';
import { rowsOf } from '../src/db/rows.ts';
import { tasks as tasksTable } from '../src/db/schema.ts';
import { AttemptStore, ClaimLostError } from '../src/tasks/attempt-store.ts';
import { ClaimStore } from '../src/tasks/claim-store.ts';
import { TaskStore } from '../src/tasks/task-store.ts';
import { patienceMs } from './support/patience.ts';
import {
  connectTestDatabase,
  createTestDatabase,
  engines,
  type TestDatabase,
} from './support/test-database.ts';

const owner = { dialect: 'tmlsr', tenant: null };
const output: TaskOutput = {
  name: 'result',
  key: 'a/b.png',
  size: 12,
  sha256: 'ab',
  contentType: 'image/png',
  input: null,
  output: null,
};
const failure: TaskError = {
  code: 'execution_failed',
  message: 'LoadImage failed',
  stage: 'process',
  attempt: 1,
};
const later = { afterMs: 60_000, avoid: [], counts: true };

for (const engine of engines) {
  describe(`twins on ${engine}`, () => {
    let scratch: TestDatabase;
    let database: Database;
    let tasks: TaskStore;

    before(async () => {
      scratch = await createTestDatabase(engine);
      database = await connectTestDatabase(scratch.options);
      tasks = new TaskStore(database.orm);
    });
    beforeEach(async () => {
      await database.orm.execute(sql`delete from tasks`);
    });
    after(async () => {
      await database[Symbol.asyncDispose]();
      await scratch[Symbol.asyncDispose]();
    });

    /** The stores of one gateway. */
    function gateway() {
      const claims = new ClaimStore(database.orm, { owner: randomUUID(), leaseMs: 15_000 });
      return { claims, attempts: new AttemptStore(database.orm, claims.owner) };
    }

    async function submit(queueTimeoutMs: number | null = null): Promise<string> {
      const { id } = await tasks.insert({
        dialect: 'tmlsr',
        kind: 'image',
        sources: [{ input: 'image', url: 'https://example.com/a.png' }],
        workflow: 'esrgan_image_4x',
        workflowHash: 'f00',
        arguments: {},
        size: sizeAsTheWorkflowGives,
        delivery: deliveryAsUsual,
        params: {},
        queueTimeoutMs,
      });
      return id;
    }

    async function claim({ claims }: ReturnType<typeof gateway>, id: string): Promise<Claim> {
      const claimed = await claims.claim(id, 'http://127.0.0.1:8188');
      assert.ok(claimed, 'it cannot be claimed');
      return claimed;
    }

    async function rowOf(id: string) {
      const [row] = await database.orm.select().from(tasksTable).where(eq(tasksTable.id, id));
      assert.ok(row);
      return row;
    }

    /** A leader and so many that follow it, as the gateway that works on them knows them. */
    async function family(followers: number, at = gateway()) {
      const leading = await claim(at, await submit());
      assert.deepEqual(await at.attempts.seekTwin(leading, 'f'), { kind: 'leads' });
      const leader: Claim = { ...leading, fingerprint: 'f' };
      const ids: string[] = [];
      for (let i = 0; i < followers; i += 1) {
        const follower = await claim(at, await submit(60_000));
        assert.deepEqual(await at.attempts.seekTwin(follower, 'f'), { kind: 'follows' });
        ids.push(follower.task.id);
      }
      return { ...at, at, leader, followers: ids };
    }

    const awake = async (ids: readonly string[]) => {
      const rows = await Promise.all(ids.map(rowOf));
      return rows.map(({ runAfter }) => runAfter === null);
    };

    it('one leads, the others go back into the queue as if they had never been begun', async () => {
      const at = gateway();
      const id = await submit(60_000);
      const { queueDeadline } = await rowOf(id);
      const { leader } = await family(0, at);
      await delay(5);
      const follower = await claim(at, id);
      await at.attempts.seekTwin(follower, 'f');
      const row = await rowOf(id);
      assert.equal(row.state, 'pending');
      assert.equal(row.attempt, 0);
      assert.deepEqual(row.queueDeadline, queueDeadline, 'its waiting time began anew');
      assert.ok(row.runAfter);
      const task = await tasks.find(id, owner);
      assert.deepEqual(
        task?.stages.map(({ state, detail }) => [state, detail]),
        [
          ['pending', null],
          ['pending', 'Waiting for the result of an identical task'],
          ['pending', null],
        ],
      );
      assert.equal((await rowOf(leader.task.id)).state, 'processing');
      assert.equal(await at.claims.claim(id, 'http://127.0.0.1:8188'), null);
    });

    it('exactly one of many leads that look at the same time, at several gateways', async () => {
      const claims = await Promise.all(
        Array.from({ length: 12 }, async () => {
          const at = gateway();
          return { at, claim: await claim(at, await submit()) };
        }),
      );
      const standings = await Promise.all(
        claims.map(async ({ at, claim }) => (await at.attempts.seekTwin(claim, 'f')).kind),
      );
      assert.equal(standings.filter((kind) => kind === 'leads').length, 1);
      assert.equal(standings.filter((kind) => kind === 'follows').length, 11);
    });

    it('all are woken when the leader completes, and take what it stored', async () => {
      const { at, attempts, leader, followers } = await family(3);
      await attempts.complete(leader, [output]);
      assert.deepEqual(await awake(followers), [true, true, true]);
      const woken = await claim(at, followers[0] ?? '');
      assert.equal(woken.fingerprint, 'f', 'what it is made of is not known any more');
      assert.deepEqual(await attempts.seekTwin(woken, 'f'), {
        kind: 'takes',
        twin: { taskId: leader.task.id, outputs: [output] },
      });
    });

    for (const [name, end] of [
      ['fails', (it) => it.attempts.fail(it.leader, failure)],
      ['is to be tried again', (it) => it.attempts.retry(it.leader, failure, later)],
      ['is given back', (it) => it.attempts.handBack(it.leader, false)],
      ['is canceled', (it) => tasks.cancel(it.leader.task.id, owner)],
    ] as const satisfies [string, (it: Awaited<ReturnType<typeof family>>) => Promise<unknown>][]) {
      it(`the first of the others leads when the leader ${name}`, async () => {
        const scene = await family(3);
        await end(scene);
        assert.deepEqual(await awake(scene.followers), [true, false, false]);
        const next = await claim(scene.at, scene.followers[0] ?? '');
        assert.deepEqual(await scene.attempts.seekTwin(next, 'f'), { kind: 'leads' });
        const shown = await tasks.find(next.task.id, owner);
        assert.ok(
          shown?.stages.every(({ detail }) => detail === null),
          'it shows that it waits',
        );
        await scene.attempts.complete({ ...next, fingerprint: 'f' }, [output]);
        assert.deepEqual(await awake(scene.followers), [true, true, true]);
      });
    }

    it('the next is woken when the one that was to look again is canceled', async () => {
      const { attempts, leader, followers } = await family(3);
      await attempts.fail(leader, failure);
      await tasks.cancel(followers[0] ?? '', owner);
      assert.deepEqual(await awake(followers), [true, true, false]);
    });

    it('those whose source has changed leave the others behind', async () => {
      const { at, attempts, leader, followers } = await family(2);
      await attempts.seekTwin(leader, 'another');
      assert.equal((await rowOf(leader.task.id)).fingerprint, 'another');
      assert.deepEqual(await awake(followers), [true, false]);
      const next = await claim(at, followers[0] ?? '');
      assert.deepEqual(await attempts.seekTwin(next, 'f'), { kind: 'leads' });
    });

    it('are woken in time where that was forgotten, but not while one leads', async () => {
      const { claims, leader, followers } = await family(2);
      const past = sql`update tasks set run_after = now() - interval '1 s' where run_after is not null`;
      await database.orm.execute(past);
      assert.equal(await claims.wakeWaiting(), 0);
      // As a gateway leaves it that dies.
      await database.orm.execute(
        sql`update tasks set state = 'pending', owner = null, fingerprint = null
             where id = ${leader.task.id}`,
      );
      assert.equal(await claims.wakeWaiting(), 2);
      assert.deepEqual(await awake(followers), [true, true]);
    });

    it('a failed task that waits for its next attempt is not woken early', async () => {
      const { at, attempts, leader } = await family(0);
      await attempts.retry(leader, failure, later);
      const { leader: other } = await family(0, at);
      await attempts.complete(other, [output]);
      assert.deepEqual(await awake([leader.task.id]), [false]);
    });

    it('nothing is taken that was removed, has expired, or was forgotten', async () => {
      const { at, attempts, leader } = await family(0);
      await attempts.complete(leader, [output]);
      const isTaken = async () => {
        const another = await claim(at, await submit());
        const { kind } = await attempts.seekTwin(another, 'f');
        await attempts.fail({ ...another, fingerprint: 'f' }, failure);
        return kind === 'takes';
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
      await attempts.forgetTwins({ ...leader, fingerprint: 'f' });
      assert.equal(await isTaken(), false);
    });

    it('a gateway that has lost the task decides nothing', async () => {
      const at = gateway();
      const lost = await claim(at, await submit());
      await tasks.cancel(lost.task.id, owner);
      await assert.rejects(at.attempts.seekTwin(lost, 'f'), ClaimLostError);
      const { leader } = await family(0);
      const alsoLost = await claim(at, await submit());
      await tasks.cancel(alsoLost.task.id, owner);
      await assert.rejects(at.attempts.seekTwin(alsoLost, 'f'), ClaimLostError);
      assert.equal((await rowOf(alsoLost.task.id)).state, 'canceled');
      assert.equal((await rowOf(leader.task.id)).fingerprint, 'f');
    });

    it('come to an end, one led at a time, however they end and whoever looks', async () => {
      const ids = await Promise.all(Array.from({ length: 40 }, () => submit()));
      const gateways = Array.from({ length: 4 }, gateway);
      const problems: unknown[] = [];
      let isOver = false;
      let most = 0;
      let taken = 0;
      const beside = async (work: () => Promise<unknown>) => {
        while (!isOver) {
          await work().catch((error) => problems.push(error));
          // PGlite leaves no time for timers.
          await delay(1);
        }
      };
      const work = async (at: ReturnType<typeof gateway>) => {
        for (let turn = 0; !isOver; turn += 1) {
          await delay(1);
          const [head] = await at.claims.heads();
          const claimed = head && (await at.claims.claim(head.id, 'http://127.0.0.1:8188'));
          if (!claimed) continue;
          try {
            const { kind } = await at.attempts.seekTwin(claimed, 'f');
            if (kind === 'follows') continue;
            const leading: Claim = { ...claimed, fingerprint: 'f' };
            if (kind === 'takes') taken += 1;
            else await delay(5);
            if (kind === 'leads' && turn % 3 > 0) await at.attempts.fail(leading, failure);
            else if (kind === 'leads' && turn % 2 > 0) await at.attempts.handBack(leading, false);
            else await at.attempts.complete(leading, [output]);
          } catch (error) {
            if (!(error instanceof ClaimLostError)) problems.push(error);
          }
        }
      };
      const others = [
        // What renews claims has all of their rows locked, in whatever order.
        ...gateways.map(({ claims }) => beside(() => claims.renew(ids))),
        beside(() => gateways[0]?.claims.wakeWaiting() ?? Promise.resolve()),
        beside(async () => {
          await delay(20);
          await tasks.cancel(ids.shift() ?? '', owner);
        }),
        beside(async () => {
          const result = await database.orm.execute(
            sql`select count(*)::int as count from tasks where state = 'processing'
                 and fingerprint is not null and outputs is null
                 and not exists (select from tasks as done
                       where done.state = 'completed' and done.fingerprint = tasks.fingerprint)`,
          );
          most = Math.max(most, rowsOf<{ count: number }>(result)[0]?.count ?? 0);
        }),
        ...gateways.map(work),
      ];
      const deadline = Date.now() + patienceMs;
      for (;;) {
        const result = await database.orm.execute(
          sql`select count(*)::int as count from tasks where state in ('pending', 'processing')`,
        );
        if (rowsOf<{ count: number }>(result)[0]?.count === 0 || Date.now() > deadline) break;
        await delay(20);
      }
      const leftAt = Date.now();
      isOver = true;
      await Promise.all(others);
      assert.ok(leftAt < deadline, 'some of them never came to an end');
      assert.deepEqual(problems, []);
      assert.ok(most <= 1, `${most} led at a time`);
      assert.ok(taken > 0);
    });
  });
}
