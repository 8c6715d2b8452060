import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, beforeEach, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { sql } from 'drizzle-orm';
import { sizeAsTheWorkflowGives } from '../src/core/size-plan.ts';
import type { NewTask, TaskError, TaskOutput } from '../src/core/task.ts';
import { connectDatabase, type Database } from '../src/db/connect.ts';
import { ClaimLostError, ClaimStore } from '../src/tasks/claim-store.ts';
import { TaskEvents } from '../src/tasks/task-events.ts';
import { TaskStore } from '../src/tasks/task-store.ts';
import { createTestDatabase, engines, type TestDatabase } from './support/test-database.ts';

const backend = 'http://127.0.0.1:8188';
const input = { kind: 'image', format: 'png', width: 8, height: 8 } as const;
const output: TaskOutput = {
  key: 'a/b.png',
  size: 12,
  sha256: 'ab',
  contentType: 'image/png',
  input,
  output: { ...input, width: 32, height: 32 },
};
const failure: TaskError = {
  code: 'execution_failed',
  message: 'LoadImage failed',
  stage: 'process',
  attempt: 1,
};

function newTask(change: Partial<NewTask> = {}): NewTask {
  return {
    dialect: 'tmlsr',
    kind: 'image',
    source: { url: 'https://example.com/a.png' },
    workflow: 'esrgan_image_4x',
    size: sizeAsTheWorkflowGives,
    params: { url: 'https://example.com/a.png' },
    ...change,
  };
}

for (const engine of engines) {
  describe(`the task stores on ${engine}`, () => {
    let scratch: TestDatabase;
    let database: Database;
    let tasks: TaskStore;
    let claims: ClaimStore;

    before(async () => {
      scratch = await createTestDatabase(engine);
      database = await connectDatabase(scratch.options);
      tasks = new TaskStore(database.orm);
    });
    beforeEach(async () => {
      await database.orm.execute(sql`truncate tasks cascade`);
      claims = new ClaimStore(database.orm, { owner: randomUUID(), leaseMs: 15_000 });
    });
    after(async () => {
      await database[Symbol.asyncDispose]();
      await scratch[Symbol.asyncDispose]();
    });

    async function claimOne() {
      const claim = await claims.claim(backend, ['esrgan_image_4x']);
      assert.ok(claim);
      return claim;
    }

    /** As if the lease had run out. */
    async function expire(id: string) {
      await database.orm.execute(
        sql`update tasks set lease_until = now() - interval '1 s' where id = ${id}`,
      );
    }

    it('keeps a task with its three stages waiting', async () => {
      const { id } = await tasks.insert(newTask());
      const task = await tasks.find(id, 'tmlsr');
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
      assert.equal(await tasks.find(id, 'upscale'), null);
      assert.equal(await tasks.cancel(id, 'upscale'), null);
    });

    it('claims by priority, then in the order of arrival, among the workflows asked for', async () => {
      const first = await tasks.insert(newTask());
      const urgent = await tasks.insert(newTask({ workflow: 'other', priority: 9 }));
      const second = await tasks.insert(newTask());
      await tasks.insert(newTask({ workflow: 'not asked for', priority: 10 }));
      const order = [];
      for (;;) {
        const claim = await claims.claim(backend, ['esrgan_image_4x', 'other', 'unknown']);
        if (!claim) break;
        order.push(claim.task.id);
      }
      assert.deepEqual(order, [urgent.id, first.id, second.id]);
    });

    it('gives each of many tasks to one claimer only', async () => {
      for (let i = 0; i < 20; i += 1) await tasks.insert(newTask());
      const taken = await Promise.all(
        Array.from({ length: 30 }, () => claims.claim(backend, ['esrgan_image_4x'])),
      );
      const ids = taken.flatMap((claim) => (claim ? [claim.task.id] : []));
      assert.equal(new Set(ids).size, ids.length);
      // Claimers that meet at the head of the queue skip it; the rest comes with the next pass.
      while (await claims.claim(backend, ['esrgan_image_4x'])) ids.push('later');
      assert.equal(ids.length, 20);
    });

    it('records an attempt from its claim to its completion', async () => {
      const { id } = await tasks.insert(newTask());
      const claim = await claimOne();
      assert.equal(claim.attempt.number, 1);
      assert.equal(claim.attempt.promptId, null);
      await claims.startStage(claim, 'download');
      await claims.progressStage(claim, 'download', { progress: 40, detail: '4MB / 10MB' });
      assert.equal((await tasks.find(id, 'tmlsr'))?.stages[0]?.progress, 40);
      await claims.finishStage(claim, 'download', 'Download complete');
      await claims.recordPrompt(claim, {
        promptId: randomUUID(),
        backend,
        input,
        workflowHash: 'f00',
      });
      await claims.complete(claim, output);
      const task = await tasks.find(id, 'tmlsr');
      assert.equal(task?.state, 'completed');
      assert.deepEqual(task?.output, output);
      assert.equal(task?.stages[0]?.state, 'success');
      assert.ok(task?.finishedAt);
    });

    it('lets no one write whose claim is gone', async () => {
      const { id } = await tasks.insert(newTask());
      const claim = await claimOne();
      await expire(id);
      await claims.requeueAbandoned(60_000);
      const successor = new ClaimStore(database.orm, { owner: randomUUID(), leaseMs: 15_000 });
      assert.ok(await successor.claim(backend, ['esrgan_image_4x']));
      const writes = [
        () => claims.startStage(claim, 'download'),
        () =>
          claims.recordPrompt(claim, {
            promptId: randomUUID(),
            backend,
            input,
            workflowHash: 'f00',
          }),
        () => claims.complete(claim, output),
        () => claims.fail(claim, failure),
        () => claims.retry(claim, failure, 0),
        () => claims.handBack(claim, null),
      ];
      for (const write of writes) await assert.rejects(write, ClaimLostError);
      assert.deepEqual([...(await claims.renew([id]))], []);
      const task = await tasks.find(id, 'tmlsr');
      assert.equal(task?.state, 'processing');
      assert.equal(task?.attempt, 2);
      assert.equal(task?.error, null);
    });

    it('lets a task wait before it is tried again, and shows why', async () => {
      const { id } = await tasks.insert(newTask());
      const claim = await claimOne();
      await claims.startStage(claim, 'process');
      await claims.retry(claim, failure, 300);
      const waiting = await tasks.find(id, 'tmlsr');
      assert.equal(waiting?.state, 'pending');
      assert.deepEqual(waiting?.error, failure);
      assert.equal(waiting?.stages[1]?.state, 'pending');
      assert.equal(await claims.claim(backend, ['esrgan_image_4x']), null);
      assert.equal(await claims.wakeWaiting(), 0);
      await delay(350);
      assert.equal(await claims.wakeWaiting(), 1);
      assert.equal((await claimOne()).attempt.number, 2);
    });

    it('fails a task with no stage left running', async () => {
      const { id } = await tasks.insert(newTask());
      const claim = await claimOne();
      await claims.startStage(claim, 'download');
      await claims.fail(claim, failure);
      const task = await tasks.find(id, 'tmlsr');
      assert.equal(task?.state, 'failed');
      assert.deepEqual(
        task?.stages.map(({ state }) => state),
        ['failed', 'skipped', 'skipped'],
      );
    });

    it('cancels a task that runs, and its owner learns of it', async () => {
      const events = new TaskEvents();
      await events.listen(database);
      const heard = new Promise((resolve) => events.once('canceled', resolve));
      const { id } = await tasks.insert(newTask());
      const claim = await claimOne();
      await claims.startStage(claim, 'download');
      assert.equal(await claims.isCanceled(id), false);
      assert.equal(await tasks.cancel(id, 'tmlsr'), 'canceled');
      assert.equal(await claims.isCanceled(id), true);
      assert.equal(await heard, id);
      await assert.rejects(() => claims.complete(claim, output), ClaimLostError);
      const task = await tasks.find(id, 'tmlsr');
      assert.equal(task?.state, 'canceled');
      assert.ok(task?.stages.every(({ state }) => state === 'skipped'));
      assert.equal(await tasks.cancel(id, 'tmlsr'), 'canceled');
    });

    it('leaves a completed task as it is when it is canceled', async () => {
      const { id } = await tasks.insert(newTask());
      await claims.complete(await claimOne(), output);
      assert.equal(await tasks.cancel(id, 'tmlsr'), 'completed');
      assert.equal((await tasks.find(id, 'tmlsr'))?.state, 'completed');
    });

    it('hands a prompt that runs over to the next gateway, same attempt', async () => {
      const { id } = await tasks.insert(newTask());
      const claim = await claimOne();
      const promptId = randomUUID();
      await claims.recordPrompt(claim, { promptId, backend, input, workflowHash: 'f00' });
      await claims.handBack(claim, promptId);
      const successor = new ClaimStore(database.orm, { owner: randomUUID(), leaseMs: 15_000 });
      assert.deepEqual(await successor.takeOver(['http://other']), []);
      const [adopted] = await successor.takeOver([backend]);
      assert.equal(adopted?.task.id, id);
      assert.equal(adopted?.attempt.number, 1);
      assert.equal(adopted?.attempt.promptId, promptId);
      assert.deepEqual(adopted?.attempt.input, input);
      await successor.complete(adopted as typeof claim, output);
    });

    it('counts no attempt for a task that shutdown interrupted before its prompt', async () => {
      const { id } = await tasks.insert(newTask());
      await claims.handBack(await claimOne(), null);
      assert.equal((await tasks.find(id, 'tmlsr'))?.state, 'pending');
      assert.equal((await claimOne()).attempt.number, 1);
    });

    it('counts the attempt of a gateway that died before its prompt', async () => {
      const { id } = await tasks.insert(newTask());
      await claimOne();
      assert.equal(await claims.requeueAbandoned(60_000), 0);
      await expire(id);
      assert.equal(await claims.requeueAbandoned(60_000), 1);
      assert.equal((await claimOne()).attempt.number, 2);
    });

    it('remembers prompts of canceled tasks until they are off their backend', async () => {
      const { id } = await tasks.insert(newTask());
      const claim = await claimOne();
      const promptId = randomUUID();
      await claims.recordPrompt(claim, { promptId, backend, input, workflowHash: 'f00' });
      await tasks.cancel(id, 'tmlsr');
      assert.deepEqual(await tasks.leftovers(60_000), []);
      assert.deepEqual(await tasks.leftovers(-1_000), [
        { id: claim.attempt.id, backend, promptId },
      ]);
      await claims.closeAttempt(claim.attempt.id);
      assert.deepEqual(await tasks.leftovers(-1_000), []);
    });

    it('counts tasks by state and lists the newest first', async () => {
      await tasks.insert(newTask());
      const last = await tasks.insert(newTask());
      await claimOne();
      assert.deepEqual(await tasks.countByState(), {
        pending: 1,
        processing: 1,
        completed: 0,
        failed: 0,
        canceled: 0,
      });
      const [newest] = await tasks.newest(1);
      assert.equal(newest?.id, last.id);
      assert.equal(newest?.stages.length, 3);
    });

    it('is migrated once, also when it is opened again', async () => {
      if (engine === 'pglite') {
        await assert.rejects(() => connectDatabase(scratch.options), /in use by another gateway/);
        return;
      }
      await using again = await connectDatabase(scratch.options);
      await again.orm.execute(sql`select 1`);
    });
  });
}
