import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, beforeEach, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { BackendReport } from '../src/core/backend.ts';
import { unknownRunMs } from '../src/core/schedule.ts';
import type { TaskOutput } from '../src/core/task.ts';
import type { Database } from '../src/db/connect.ts';
import { sql } from '../src/db/drizzle.ts';
import { rowsOf } from '../src/db/rows.ts';
import { BackendStore } from '../src/pool/backend-store.ts';
import { AttemptNews, type PromptRecord } from '../src/tasks/attempt-news.ts';
import { ClaimLostError } from '../src/tasks/attempt-store.ts';
import type { ClaimStore } from '../src/tasks/claim-store.ts';
import { QueueStats } from '../src/tasks/queue-stats.ts';
import { backend, failure, GatewayStores, newTask, owner } from './support/task-stores.ts';
import {
  connectTestDatabase,
  createTestDatabase,
  engines,
  type TestDatabase,
} from './support/test-database.ts';

const input = { kind: 'image', format: 'png', width: 8, height: 8 } as const;
const sourceBytes = 3;
const output: TaskOutput = {
  name: 'result',
  key: 'a/b.png',
  size: 12,
  sha256: 'ab',
  contentType: 'image/png',
  input,
  output: { ...input, width: 32, height: 32 },
};

const again = { afterMs: 0, avoid: [], counts: true };

function news(tell: (news: AttemptNews) => void): AttemptNews {
  const told = new AttemptNews();
  tell(told);
  return told;
}

function prompt(record: PromptRecord): AttemptNews {
  return news((it) => {
    it.prompt = record;
  });
}

for (const engine of engines) {
  describe(`the task stores on ${engine}`, () => {
    let scratch: TestDatabase;
    let database: Database;
    let stores: GatewayStores;
    let { tasks, claims, attempts } = {} as GatewayStores;

    before(async () => {
      scratch = await createTestDatabase(engine);
      database = await connectTestDatabase(scratch.options);
    });
    beforeEach(async () => {
      // A truncation fires no trigger that counts.
      await database.orm.execute(sql`delete from tasks`);
      stores = new GatewayStores(database);
      ({ tasks, claims, attempts } = stores);
    });
    after(async () => {
      await database[Symbol.asyncDispose]();
      await scratch[Symbol.asyncDispose]();
    });

    /** Takes the first of the heads, in the order of their ranks. */
    async function claimNext(store: ClaimStore) {
      const [head] = (await store.heads()).sort((a, b) => a.rank - b.rank);
      return head ? await store.claim(head.id, backend) : null;
    }

    async function claimOne(store = claims) {
      const claim = await claimNext(store);
      assert.ok(claim);
      return claim;
    }

    it('keeps a task with its three stages waiting', async () => {
      const { id } = await tasks.insert(newTask());
      const task = await tasks.find(id, owner);
      assert.equal(task?.state, 'pending');
      assert.equal(task?.priority, 5);
      assert.ok(task?.createdAt instanceof Date);
      assert.deepEqual(
        task?.stages.map(({ name, state }) => [name, state]),
        [
          ['download', 'pending'],
          ['process', 'pending'],
          ['upload', 'pending'],
        ],
      );
    });

    it('does not find the task of another dialect', async () => {
      const { id } = await tasks.insert(newTask());
      assert.equal(await tasks.find(id, { ...owner, dialect: 'upscale' }), null);
      assert.equal(await tasks.cancel(id, { ...owner, dialect: 'upscale' }), null);
    });

    it('claims by priority, then in the order of arrival, whatever their workflows', async () => {
      const first = await tasks.insert(newTask());
      const urgent = await tasks.insert(newTask({ workflow: 'other', priority: 9 }));
      const second = await tasks.insert(newTask());
      const order = [];
      for (;;) {
        const claim = await claimNext(claims);
        if (!claim) break;
        order.push(claim.task.id);
      }
      assert.deepEqual(order, [urgent.id, first.id, second.id]);
    });

    it('gives each of many tasks to one claimer only', async () => {
      for (let i = 0; i < 20; i += 1) await tasks.insert(newTask());
      const taken = await Promise.all(Array.from({ length: 30 }, () => claimNext(claims)));
      const ids = taken.flatMap((claim) => (claim ? [claim.task.id] : []));
      assert.equal(new Set(ids).size, ids.length);
      // Claimers that meet at the head of the queue skip it; the rest comes with the next pass.
      while (await claimNext(claims)) ids.push('later');
      assert.equal(ids.length, 20);
    });

    it('records an attempt from its claim to its completion', async () => {
      const { id } = await tasks.insert(newTask());
      const claim = await claimOne();
      assert.equal(claim.attempt.number, 1);
      assert.equal(claim.attempt.promptId, null);
      await attempts.record(
        claim,
        news((it) => it.begin('download')),
      );
      await attempts.record(
        claim,
        news((it) => it.proceed('download', { progress: 40, detail: '4MB / 10MB' })),
      );
      assert.equal((await tasks.find(id, owner))?.stages[0]?.progress, 40);
      await attempts.record(
        claim,
        news((it) => it.finish('download', 'Download complete')),
      );
      await attempts.record(
        claim,
        prompt({
          promptId: randomUUID(),
          backend,
          input,
          sourceBytes,
        }),
      );
      await stores.complete(claim, [output]);
      const task = await tasks.find(id, owner);
      assert.equal(task?.state, 'completed');
      assert.deepEqual(task?.outputs, [output]);
      assert.equal(task?.stages[0]?.state, 'success');
      assert.ok(task?.finishedAt);
    });

    it('lets no one write whose claim is gone', async () => {
      const { id } = await tasks.insert(newTask());
      const claim = await claimOne();
      await stores.expire(id);
      await claims.requeueAbandoned(60_000);
      await claimOne(new GatewayStores(database).claims);
      const writes = [
        () =>
          attempts.record(
            claim,
            news((it) => it.begin('download')),
          ),
        () =>
          attempts.record(
            claim,
            prompt({
              promptId: randomUUID(),
              backend,
              input,
              sourceBytes,
            }),
          ),
        () => stores.complete(claim, [output]),
        () => attempts.fail(claim, failure),
        () => attempts.retry(claim, failure, again),
        () => attempts.handBack(claim, false),
      ];
      for (const write of writes) await assert.rejects(write, ClaimLostError);
      assert.deepEqual([...(await claims.renew([claim.run.id]))], []);
      const task = await tasks.find(id, owner);
      assert.equal(task?.state, 'processing');
      assert.equal(task?.error, null);
    });

    it('knows when nothing that an attempt made can be a result any more', async () => {
      await tasks.insert(newTask());
      const first = await claimOne();
      assert.equal(await attempts.isDiscardable(first), false);
      await attempts.retry(first, failure, { ...again, avoid: [] });
      assert.equal(await attempts.isDiscardable(first), true);
      const second = await claimOne();
      assert.equal(await attempts.isDiscardable(first), true);
      assert.equal(await attempts.isDiscardable(second), false);
      await stores.complete(second, [output]);
      assert.equal(await attempts.isDiscardable(first), true);
      assert.equal(await attempts.isDiscardable(second), false);
      for (const end of ['fail', 'cancel'] as const) {
        const { id } = await tasks.insert(newTask());
        const claim = await claimOne();
        await (end === 'fail' ? attempts.fail(claim, failure) : tasks.cancel(id, owner));
        assert.equal(await attempts.isDiscardable(claim), true);
      }
    });

    it('lets a task wait before it is tried again, and shows why', async () => {
      const { id } = await tasks.insert(newTask());
      const claim = await claimOne();
      await attempts.record(
        claim,
        news((it) => it.begin('process')),
      );
      await attempts.retry(claim, failure, { ...again, afterMs: 60_000 });
      const waiting = await tasks.find(id, owner);
      assert.equal(waiting?.state, 'pending');
      assert.deepEqual(waiting?.error, failure);
      assert.equal(waiting?.stages[1]?.state, 'pending');
      assert.equal(await claimNext(claims), null);
      assert.equal(await claims.wakeWaiting(), 0);
      await database.orm.execute(sql`update runs set run_after = run_after - interval '1 minute'`);
      assert.equal(await claims.wakeWaiting(), 1);
      assert.equal((await claimOne()).attempt.number, 2);
    });

    it('fails a task with no stage left running', async () => {
      const { id } = await tasks.insert(newTask());
      const claim = await claimOne();
      await attempts.record(
        claim,
        news((it) => it.begin('download')),
      );
      await attempts.fail(claim, failure);
      const task = await tasks.find(id, owner);
      assert.equal(task?.state, 'failed');
      assert.deepEqual(
        task?.stages.map(({ state }) => state),
        ['failed', 'skipped', 'skipped'],
      );
    });

    it('keeps what a server says, whatever characters it holds', async () => {
      const said = 'C:\\u0000 a\0b \u{1f600} \ud83d';
      const kept = 'C:\\u0000 a\ufffdb \u{1f600} \ufffd';
      const error = { ...failure, message: said };
      const { id } = await tasks.insert(newTask());
      const first = await claimOne();
      await attempts.record(
        first,
        news((it) => {
          it.begin('process');
          it.proceed('process', { progress: 1, detail: said });
        }),
      );
      assert.equal((await tasks.find(id, owner))?.stages[1]?.detail, kept);
      await attempts.retry(first, error, { ...again, avoid: [backend] });
      assert.equal((await tasks.find(id, owner))?.error?.message, kept);
      const second = await claimOne();
      await attempts.record(
        second,
        news((it) => it.begin('process')),
      );
      await attempts.fail(second, error);
      const task = await tasks.find(id, owner);
      assert.deepEqual([task?.error?.message, task?.stages[1]?.detail], [kept, kept]);
      const past = await attempts.failed(second);
      assert.deepEqual(
        past.map((each) => each.error.message),
        [kept, kept],
      );

      const gatewayId = randomUUID();
      const backends = new BackendStore(database.orm, {
        owner: gatewayId,
        leaseMs: 15_000,
        forgottenAfterMs: 60_000,
      });
      await backends.renew([backend]);
      await backends.take([backend]);
      const report: BackendReport = {
        ...{ state: 'idle', reason: said, since: '', lastActiveAt: null, version: said },
        devices: [{ name: said, memoryTotal: 1, memoryFree: 1 }],
        ...{ task: null, nextTask: null, warm: null, busyShare: 0, isKnown: true },
        cannotRun: { [said]: [said] },
      };
      await backends.report(new Map([[backend, report]]));
      const [record] = await backends.list();
      assert.deepEqual(record?.report, {
        ...report,
        ...{ reason: kept, version: kept, cannotRun: { [kept]: [kept] } },
        devices: [{ name: kept, memoryTotal: 1, memoryFree: 1 }],
      });
    });

    it('cancels a task that runs, and its owner learns of it', async () => {
      const { id } = await tasks.insert(newTask());
      const claim = await claimOne();
      await attempts.record(
        claim,
        news((it) => it.begin('download')),
      );
      assert.equal(await attempts.isCanceled(claim), false);
      const canceled = { state: 'canceled', isCanceled: true };
      assert.deepEqual(await tasks.cancel(id, owner), canceled);
      assert.equal(await attempts.isCanceled(claim), true);
      const last = stores.told.at(-1);
      assert.deepEqual([last?.event.kind, last?.run.state], ['canceled', 'canceled']);
      await assert.rejects(() => stores.complete(claim, [output]), ClaimLostError);
      const task = await tasks.find(id, owner);
      assert.equal(task?.state, 'canceled');
      assert.ok(task?.stages.every(({ state }) => state === 'skipped'));
      assert.deepEqual(await tasks.cancel(id, owner), { ...canceled, isCanceled: false });
    });

    it('leaves a completed task as it is when it is canceled', async () => {
      const { id } = await tasks.insert(newTask());
      await stores.complete(await claimOne(), [output]);
      assert.deepEqual(await tasks.cancel(id, owner), { state: 'completed', isCanceled: false });
      assert.equal((await tasks.find(id, owner))?.state, 'completed');
    });

    it('hands a prompt that runs over to the next gateway, same attempt', async () => {
      const { id } = await tasks.insert(newTask());
      const claim = await claimOne();
      const promptId = randomUUID();
      await attempts.record(claim, prompt({ promptId, backend, input, sourceBytes }));
      await attempts.handBack(claim, true);
      const successor = new GatewayStores(database);
      assert.deepEqual(await successor.claims.takeOver(['http://other']), []);
      const [adopted] = await successor.claims.takeOver([backend]);
      assert.equal(adopted?.task.id, id);
      assert.equal(adopted?.attempt.number, 1);
      assert.equal(adopted?.attempt.promptId, promptId);
      assert.deepEqual(adopted?.attempt.input, input);
      await successor.complete(adopted as typeof claim, [output]);
    });

    it('lets be what is worked on here, though its lease has run out', async () => {
      const { id } = await tasks.insert(newTask());
      const claim = await claimOne();
      const promptId = randomUUID();
      await attempts.record(claim, prompt({ promptId, backend, input, sourceBytes }));
      await stores.expire(id);
      assert.deepEqual(await claims.takeOver([backend], [claim.run.id]), []);
      assert.equal(await claims.requeueAbandoned(-1, [claim.run.id]), 0);
      assert.equal((await claims.takeOver([backend])).length, 1);
    });

    it('counts no attempt for a task that shutdown interrupted before its prompt', async () => {
      const { id } = await tasks.insert(newTask());
      await attempts.handBack(await claimOne(), false);
      assert.equal((await tasks.find(id, owner))?.state, 'pending');
      assert.equal((await claimOne()).attempt.number, 1);
    });

    it('counts no retry for a gateway that died before its prompt, but begins anew', async () => {
      const { id } = await tasks.insert(newTask());
      await claimOne();
      assert.equal(await claims.requeueAbandoned(60_000), 0);
      await stores.expire(id);
      assert.equal(await claims.requeueAbandoned(60_000), 1);
      const { run, attempt } = await claimOne();
      assert.equal(attempt.number, 2);
      assert.equal(run.retries, 0);
    });

    it('remembers prompts of canceled tasks until they are off their backend', async () => {
      const { id } = await tasks.insert(newTask());
      const claim = await claimOne();
      const promptId = randomUUID();
      await attempts.record(claim, prompt({ promptId, backend, input, sourceBytes }));
      await tasks.cancel(id, owner);
      assert.deepEqual(await tasks.leftovers(60_000), []);
      assert.deepEqual(await tasks.leftovers(-1_000), [
        { id: claim.attempt.id, backend, promptId },
      ]);
      await attempts.close(claim.attempt.id);
      assert.deepEqual(await tasks.leftovers(-1_000), []);
    });

    it('counts tasks by workflow and state, whatever becomes of them', async () => {
      const counted = async () => {
        const counts = await new QueueStats(database.orm).counts();
        const { pending, processing, completed, canceled } = { ...counts.get('esrgan_image_4x') };
        return [pending, processing, completed, canceled];
      };
      const first = await tasks.insert(newTask());
      const last = await tasks.insert(newTask());
      assert.deepEqual(await counted(), [2, 0, 0, 0]);
      const claim = await claimOne();
      assert.deepEqual(await counted(), [1, 1, 0, 0]);
      await stores.complete(claim, [output]);
      await tasks.cancel(last.id, owner);
      assert.deepEqual(await counted(), [0, 0, 1, 1]);
      await database.orm.execute(sql`delete from tasks where id = ${first.id}`);
      assert.deepEqual(await counted(), [0, 0, 0, 1]);
    });

    it("counts a tenant's own tasks, whatever becomes of them", async () => {
      const counted = async (tenant: string) => {
        const counts = await new QueueStats(database.orm).countsOf(tenant);
        return [...counts].map(([workflow, by]) => [workflow, ...Object.values(by)]);
      };
      const before = await counted('b');
      assert.deepEqual(before, []);
      const mine = await Promise.all([1, 2, 3].map(() => tasks.insert(newTask({ tenant: 'b' }))));
      const [first, second, third] = mine.map(({ id }) => id) as [string, string, string];
      await tasks.insert(newTask({ tenant: 'c' }));
      await tasks.insert(newTask());
      const claim = await stores.claim(first, backend);
      assert.deepEqual(await counted('b'), [['esrgan_image_4x', 2, 1, 0, 0, 0]]);
      await stores.complete(claim, [output]);
      await attempts.fail(await stores.claim(second, backend), failure);
      await tasks.cancel(third, owner);
      assert.deepEqual(await counted('b'), [['esrgan_image_4x', 0, 0, 1, 1, 1]]);
      assert.deepEqual(await counted('c'), [['esrgan_image_4x', 1, 0, 0, 0, 0]]);
      const [row] = rowsOf<{ count: number }>(
        await database.orm.execute(sql`select count(*)::int from ended_counts where tenant = ''`),
      );
      assert.equal(row?.count, 0);
      await database.orm.execute(sql`delete from tasks where id = ${second}`);
      assert.deepEqual(await counted('b'), [['esrgan_image_4x', 0, 0, 1, 0, 1]]);
    });

    it('gives the results of a run the same secret at every attempt, and every run its own', async () => {
      const { id } = await tasks.insert(newTask());
      const claim = await stores.claim(id, backend);
      assert.match(claim.run.secret ?? '', /^[0-9a-f]{32}$/);
      await attempts.retry(claim, failure, { ...again, afterMs: 0, avoid: [] });
      const next = await stores.claim(id, backend);
      assert.deepEqual([next.attempt.number, next.run.secret], [2, claim.run.secret]);
      const other = await stores.claim((await tasks.insert(newTask())).id, backend);
      assert.notEqual(other.run.secret, claim.run.secret);
    });

    it('lists the newest tasks first', async () => {
      await tasks.insert(newTask());
      const last = await tasks.insert(newTask());
      const [newest] = await tasks.newest(1, { dialect: null, tenant: null });
      assert.equal(newest?.id, last.id);
      assert.equal(newest?.stages.length, 3);
    });

    it('offers the head of every line, and tasks that failed before with where', async () => {
      const a = await tasks.insert(newTask());
      await tasks.insert(newTask());
      const b = await tasks.insert(newTask({ tenant: 'b' }));
      const urgent = await tasks.insert(newTask({ tenant: 'b', priority: 9 }));
      const other = await tasks.insert(newTask({ workflow: 'other' }));
      const ids = async () => new Set((await claims.heads()).map(({ id }) => id));
      assert.deepEqual(await ids(), new Set([a.runId, urgent.runId, other.runId]));
      const claim = await stores.claim(urgent.id, backend);
      await attempts.retry(claim, failure, { ...again, avoid: [backend] });
      assert.deepEqual(await ids(), new Set([a.runId, b.runId, urgent.runId, other.runId]));
      const retried = (await claims.heads()).find(({ id }) => id === urgent.runId);
      assert.deepEqual(retried?.avoid, [backend]);
      assert.deepEqual(await attempts.failed(claim), [{ backend, error: failure }]);
      const found = await tasks.find(urgent.id, owner);
      assert.equal(found?.retries, 1);
    });

    it('forgives a tenant once, whichever gateways have seen its arrears', async () => {
      const tenant = `away-${randomUUID()}`;
      const ids = [];
      for (let i = 0; i < 3; i += 1) ids.push((await tasks.insert(newTask({ tenant }))).runId);
      const shareOf = async () => (await claims.shares([tenant], new Map())).get(tenant);
      const forgiven = async () => (await shareOf())?.forgivenMs;
      const forgive = (id: string | null | undefined, seenMs: number) =>
        claims.claim(id ?? '', backend, { ms: 5_000, seenMs });
      // Two gateways that looked before either of them claimed.
      assert.ok((await Promise.all([forgive(ids[0], 0), forgive(ids[1], 0)])).every(Boolean));
      assert.equal(await forgiven(), 5_000);
      assert.ok(await forgive(ids[2], 5_000));
      assert.equal(await forgiven(), 10_000);
      // Each run under way is expected to take ten seconds.
      assert.equal((await shareOf())?.chargedMs, 10_000 + 3 * unknownRunMs);
    });

    it('tells what goes before a task, by workflow', async () => {
      await tasks.insert(newTask());
      await tasks.insert(newTask({ tenant: 'b' }));
      await tasks.insert(newTask({ workflow: 'other' }));
      const task = await tasks.insert(newTask());
      await tasks.insert(newTask());
      await tasks.insert(newTask({ priority: 9 }));
      const ahead = await new QueueStats(database.orm).ahead(task);
      const sum = (name: string) =>
        ahead.filter(({ workflow }) => workflow === name).reduce((n, { count }) => n + count, 0);
      assert.equal(sum('esrgan_image_4x'), 3);
      assert.equal(sum('other'), 1);
    });

    it('learns how long a workflow takes from the runs it has seen', async () => {
      for (const ms of [1_000, 5_000, 1_200]) {
        await tasks.insert(newTask());
        const claim = await claimOne();
        await attempts.record(
          claim,
          news((it) => {
            it.gpu = { ms, isTypical: true };
          }),
        );
        await stores.complete(claim, [output]);
      }
      const durations = await new QueueStats(database.orm).durations();
      assert.equal(durations.get('esrgan_image_4x'), 1_200);
    });

    it('fails a task that nobody began in time, and no other', async () => {
      const late = await tasks.insert(newTask({ queueTimeoutMs: 1 }));
      const patient = await tasks.insert(newTask({ queueTimeoutMs: 60_000 }));
      await tasks.insert(newTask());
      await delay(10);
      assert.equal(await claims.expireQueued(), 1);
      const last = stores.told.at(-1);
      assert.deepEqual([last?.event.kind, last?.task.id], ['expired', late.id]);
      const task = await tasks.find(late.id, owner);
      assert.equal(task?.state, 'failed');
      assert.equal(task?.error?.code, 'queue_timeout');
      assert.ok(task?.stages.every(({ state }) => state === 'skipped'));
      assert.equal((await tasks.find(patient.id, owner))?.state, 'pending');
    });

    it('is migrated once, also when it is opened again', async () => {
      if (engine === 'pglite') {
        await assert.rejects(
          () => connectTestDatabase(scratch.options),
          /in use by another gateway/,
        );
        return;
      }
      await using again = await connectTestDatabase(scratch.options);
      await again.orm.execute(sql`select 1`);
    });
  });
}
