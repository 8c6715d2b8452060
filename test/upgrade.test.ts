import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import type { TaskError } from '../src/core/task.ts';
import type { Database } from '../src/db/connect.ts';
import { sql } from '../src/db/drizzle.ts';
import { rowsOf } from '../src/db/rows.ts';
import { AttemptNews } from '../src/tasks/attempt-news.ts';
import { ClaimLostError } from '../src/tasks/attempt-store.ts';
import { EventStore } from '../src/tasks/event-store.ts';
import { QueueStats } from '../src/tasks/queue-stats.ts';
import { ResultStore } from '../src/tasks/result-store.ts';
import { UsageStore } from '../src/tasks/usage-store.ts';
import { migrateUpTo } from './support/old-schema.ts';
import { backend, GatewayStores, owner } from './support/task-stores.ts';
import { connectTestDatabase, createTestDatabase, engines } from './support/test-database.ts';

const size = '{"outscale": null, "magnification": null, "dims": null}';
const delivery = '{"format": null, "quality": null, "keepsMetadata": false, "putUrl": null}';
const output = {
  ...{ name: 'result', key: 'a/b.png', size: 12, sha256: 'ab', contentType: 'image/png' },
  ...{ input: null, output: null },
};

const failure: TaskError = { code: 'execution_failed', message: 'boom', stage: null, attempt: 1 };

/** The statement by which a gateway of before writes a task. */
function insertOf(id: string, columns: Readonly<Record<string, string>> = {}): string {
  const values: Record<string, string> = {
    id: `'${id}'`,
    dialect: `'tmlsr'`,
    kind: `'image'`,
    sources: `'[{"input": "image", "url": "https://example.com/a.png"}]'`,
    workflow: `'esrgan_image_4x'`,
    workflow_hash: `'f00'`,
    arguments: `'{"seed": 7}'`,
    size: `'${size}'`,
    delivery: `'${delivery}'`,
    params: `'{}'`,
    priority: '5',
    rank: `now() - interval '50 minutes'`,
    ...columns,
  };
  const stages = ['download', 'process', 'upload'].map((name) => `('${id}', '${name}')`).join();
  return `insert into tasks (${Object.keys(values)}) values (${Object.values(values)});
    insert into task_stages (task_id, name) values ${stages};`;
}

function attemptOf(taskId: string, columns: Readonly<Record<string, string>> = {}): string {
  const values: Record<string, string> = {
    id: `gen_random_uuid()`,
    task_id: `'${taskId}'`,
    number: '1',
    workflow: `'esrgan_image_4x'`,
    backend: `'${backend}'`,
    ...columns,
  };
  return `insert into attempts (${Object.keys(values)}) values (${Object.values(values)});`;
}

for (const engine of engines) {
  describe(`an upgrade on ${engine}`, () => {
    const cleanup = new AsyncDisposableStack();
    const dead = randomUUID();
    const older = randomUUID();
    const ids = {
      waiting: randomUUID(),
      following: randomUUID(),
      retried: randomUUID(),
      running: randomUUID(),
      completed: randomUUID(),
      failed: randomUUID(),
    };
    /** What a gateway of before works on while this one comes. */
    const held = Array.from({ length: 5 }, () => randomUUID());
    const promptId = randomUUID();
    let database: Database;
    let stores: GatewayStores;

    before(async () => {
      const scratch = cleanup.use(await createTestDatabase(engine, { isBare: true }));
      {
        await using old = await migrateUpTo('0006_retention', scratch.options);
        await old.query(rowsOfBefore(ids, dead, promptId));
        const claimed = {
          ...{ workflow: `'held'`, state: `'processing'`, attempt: '1', owner: `'${older}'` },
          lease_until: `now() + interval '1 hour'`,
        };
        for (const id of held) await old.query(insertOf(id, claimed) + attemptOf(id));
      }
      database = cleanup.use(await connectTestDatabase(scratch.options));
      stores = new GatewayStores(database);
    });
    after(() => cleanup.disposeAsync());

    const taskOf = async (id = '') => {
      const task = await stores.tasks.find(id, owner);
      assert.ok(task, 'the task is gone');
      return task;
    };

    it('keeps every task as it stood, with its results and its upload', async () => {
      const states = await Promise.all(
        Object.values(ids).map(async (id) => (await taskOf(id)).state),
      );
      assert.deepEqual(states, [
        ...['pending', 'pending', 'pending', 'processing'],
        ...['completed', 'failed'],
      ]);
      const completed = await taskOf(ids.completed);
      assert.deepEqual(completed.outputs, [output]);
      assert.deepEqual(completed.arguments, { seed: 7 });
      assert.equal(completed.stages.length, 3);
      const retried = await taskOf(ids.retried);
      assert.equal(retried.retries, 2);
      assert.ok(retried.runAfter);
      const held = await database.orm.execute(sql`select task_id from task_uploads`);
      assert.deepEqual([...rowsOf(held)], [{ task_id: ids.waiting }]);
      const counts = (await new QueueStats(database.orm).counts()).get('esrgan_image_4x');
      assert.deepEqual(counts, { pending: 3, processing: 1, completed: 1, failed: 1, canceled: 0 });
      const usage = await new ResultStore(database).usage(owner);
      assert.deepEqual(usage, [{ kind: 'image', storedBytes: 12, count: 1 }]);
    });

    it('knows what was asked for and made before', async () => {
      const usage = new UsageStore(database.orm);
      const range = { from: '2000-01-01', to: '2100-01-01', tenant: null };
      const told = await usage.rows({ ...range, by: ['workflow'] });
      assert.deepEqual(
        told.map(({ workflow, ...row }) => [
          ...[workflow, row.submitted, row.completed, row.failed, row.gpuMs, row.storedBytes],
        ]),
        [
          ['esrgan_image_4x', 6, 1, 1, 1_000, 12],
          ['held', 5, 0, 0, 0, 0],
        ],
      );
      assert.deepEqual([...(await usage.stored(''))], [{ tenant: '', bytes: 12 }]);
    });

    it('offers what waits, and what had followed a twin', async () => {
      const heads = await stores.claims.heads();
      assert.deepEqual(
        heads.map(({ id }) => id),
        [await stores.runOf(ids.waiting)],
      );
      const claim = await stores.claim(ids.waiting, backend);
      assert.equal(claim.task.id, ids.waiting);
      const [next] = await stores.claims.heads();
      assert.equal(next?.id, await stores.runOf(ids.following));
    });

    it('hands over what ran, with its prompt', async () => {
      const [adopted] = await stores.claims.takeOver([backend]);
      assert.equal(adopted?.task.id, ids.running);
      assert.equal(adopted?.attempt.promptId, promptId);
      if (adopted) await stores.complete(adopted, [output]);
      assert.equal((await taskOf(ids.running)).state, 'completed');
    });

    it('gives the results of before to tasks that make the same', async () => {
      const { id } = await stores.tasks.insert(await likeBefore());
      const role = await stores.twins.seek(await stores.claim(id, backend), 'f');
      assert.deepEqual(role, {
        kind: 'takes',
        twin: { taskId: ids.completed, outputs: [output], warnings: [] },
      });
    });

    async function likeBefore() {
      const { dialect, kind, sources, workflow, workflowHash, size, delivery, params } =
        await taskOf(ids.completed);
      const asked = { dialect, kind, sources, workflow, workflowHash, size, delivery, params };
      return { ...asked, arguments: {} };
    }

    /** The statements are those of the version before, which knows nothing of runs. */
    const old = async (statements: string): Promise<Record<string, unknown>[]> => {
      let last: unknown = [];
      for (const statement of statements.split(';').filter((each) => each.trim() !== '')) {
        last = await database.orm.execute(sql.raw(statement));
      }
      return [...rowsOf<Record<string, unknown>>(last)];
    };
    const ours = (n: number) => `id = '${held[n]}' and owner = '${older}' and attempt = 1
      and state = 'processing'`;

    const stateOf = async (id = '') => {
      const { state, runId } = (await stores.tasks.find(id, owner)) ?? {};
      const [run] = rowsOf<{ state: string; owner: string | null }>(
        await database.orm.execute(sql`select state, owner from runs where id = ${runId}`),
      );
      return [state, run?.state, run?.owner];
    };

    it('lets a gateway of before end what it works on, and its word counts', async () => {
      const ended =
        await old(`update tasks set state = 'completed', owner = null, lease_until = null,
          outputs = '${JSON.stringify([output])}', stored_bytes = 12, finished_at = now()
        where ${ours(0)} returning id`);
      assert.equal(ended.length, 1);
      assert.deepEqual(await stateOf(held[0]), ['completed', 'completed', null]);
      const events = await new EventStore(database.orm).after(held[0] ?? '', 0);
      assert.deepEqual(
        events.map(({ kind }) => kind),
        ['completed'],
      );
    });

    it('lets it give back what it does not end, and begin nothing', async () => {
      const given = await old(`update tasks set state = 'pending', owner = null, lease_until = null,
          run_after = null, attempt = attempt - 1 where ${ours(1)} returning id`);
      await old(`delete from attempts where task_id = '${held[1]}'`);
      assert.equal(given.length, 1);
      assert.deepEqual(await stateOf(held[1]), ['pending', 'pending', null]);
      const ready = await old(
        `select id from tasks where state = 'pending' and (run_after is null or run_after <= now())`,
      );
      assert.deepEqual(ready, [], 'it would begin it as well');
      const claim = await stores.claim(held[1] ?? '', backend);
      assert.equal(claim.attempt.number, 1);
    });

    it('lets it write nothing any more when another has taken its work over', async () => {
      await old(`update tasks set lease_until = now() - interval '1 s' where ${ours(2)}`);
      const requeued = await stores.claims.requeueAbandoned(60_000);
      assert.equal(requeued, 1);
      const late = await old(
        `update tasks set lease_until = now() + interval '12 s' where ${ours(2)} returning id`,
      );
      assert.deepEqual(late, []);
      const claim = await stores.claim(held[2] ?? '', backend);
      const lost = await old(
        `update tasks set state = 'failed', owner = null where ${ours(2)} returning id`,
      );
      assert.deepEqual(lost, []);
      await stores.complete(claim, [output]);
      assert.deepEqual(await stateOf(held[2]), ['completed', 'completed', null]);
    });

    it('makes it leave what is adopted here alone, whose progress is on show', async () => {
      await old(`update attempts set prompt_id = gen_random_uuid() where task_id = '${held[3]}'`);
      await old(`update tasks set lease_until = now() where ${ours(3)}`);
      const [claim] = await stores.claims.takeOver([backend]);
      assert.ok(claim);
      const news = new AttemptNews();
      news.begin('process');
      await stores.attempts.record(claim, news);
      const task = await stores.tasks.find(held[3] ?? '', owner);
      assert.equal(task?.stages[1]?.state, 'running');
      const renewed = `update tasks set lease_until = now() where ${ours(3)} returning id`;
      assert.deepEqual(await old(renewed), []);
      await stores.complete(claim, [output]);
    });

    it('offers it nothing that goes back into the queue here', async () => {
      await old(`update tasks set fingerprint = 'f', lease_until = now() - interval '1 s'
        where ${ours(4)}`);
      assert.equal(await stores.claims.requeueAbandoned(60_000), 1);
      // As it wakes those that followed a twin.
      await old(`update tasks set run_after = null where fingerprint = 'f'
        and state = 'pending' and run_after is not null`);
      const offered = `select id from tasks where state = 'pending' and run_after is null`;
      assert.deepEqual(await old(offered), []);
      await stores.complete(await stores.claim(held[4] ?? '', backend), [output]);
    });

    it('lets it take tasks on, which are run here', async () => {
      const id = randomUUID();
      await old(insertOf(id, { workflow: `'held'`, run_after: 'default' }));
      const [event] = await new EventStore(database.orm).after(id, -1);
      assert.equal(event?.kind, 'submitted');
      const claim = await stores.claim(id, backend);
      assert.deepEqual(claim.run.arguments, { seed: 7 });
      await stores.complete(claim, [output]);
      assert.equal((await stores.tasks.find(id, owner))?.state, 'completed');
    });

    it('lets it cancel what is run here', async () => {
      const id = randomUUID();
      await old(insertOf(id, { workflow: `'held'`, run_after: 'default' }));
      const claim = await stores.claim(id, backend);
      const canceled =
        await old(`update tasks set state = 'canceled', owner = null, lease_until = null,
          finished_at = now() where id = '${id}' and state in ('pending', 'processing') returning id`);
      assert.equal(canceled.length, 1);
      assert.deepEqual(await stateOf(id), ['canceled', 'canceled', null]);
      await assert.rejects(stores.complete(claim, [output]), ClaimLostError);
      const counts = (await new QueueStats(database.orm).counts()).get('held');
      assert.equal(counts?.canceled, 1);
    });

    it('lets it cancel one of those that share a run, which goes on from the sources of the others', async () => {
      const [first, other] = [randomUUID(), randomUUID()];
      await old(insertOf(first));
      await old(insertOf(other, { sources: `'[{"input": "image", "url": "upload:mine"}]'` }));
      const claim = await stores.claim(first, backend);
      await stores.twins.seek(claim, 'g');
      await stores.twins.seek(await stores.claim(other, backend), 'g');
      await old(`update tasks set state = 'canceled', finished_at = now() where id = '${first}'`);
      await old(`delete from tasks where id = '${first}'`);
      const news = new AttemptNews();
      news.gpu = { ms: 1, isTypical: true };
      await stores.attempts.record(claim, news);
      await stores.attempts.retry(claim, failure, { afterMs: 0, avoid: [], counts: true });
      const { run } = await stores.claim(other, backend);
      assert.deepEqual([run.sources[0]?.url, run.attempt], ['upload:mine', 2]);
    });

    it('lets it expire nothing of what is run here', async () => {
      const id = randomUUID();
      await old(insertOf(id, { run_after: 'default', queue_deadline: `now() - interval '1 s'` }));
      const expired = await old(`update tasks set state = 'failed', finished_at = now()
        where state = 'pending' and queue_deadline < now() returning id`);
      assert.deepEqual(expired, []);
      assert.equal(await stores.claims.expireQueued(), 1);
      assert.deepEqual(await stateOf(id), ['failed', 'failed', null]);
    });
  });
}

function rowsOfBefore(
  ids: Readonly<Record<string, string>>,
  dead: string,
  promptId: string,
): string {
  const upload = randomUUID();
  const { waiting = '', following = '', retried = '', running = '', completed = '' } = ids;
  const outputs = `'${JSON.stringify([output])}'`;
  return [
    insertOf(waiting, { sources: `'[{"input": "image", "url": "upload:${upload}"}]'` }),
    `insert into uploads (id, tenant, size) values ('${upload}', '', 3);
     insert into task_uploads (task_id, upload_id) values ('${waiting}', '${upload}');`,
    insertOf(following, { fingerprint: `'f'`, run_after: `now() + interval '5 s'` }),
    insertOf(retried, {
      ...{ attempt: '2', retries: '2', avoid: `'{${backend}}'` },
      run_after: `now() + interval '1 hour'`,
    }),
    insertOf(running, {
      ...{ state: `'processing'`, attempt: '1', owner: `'${dead}'` },
      ...{ lease_until: `now() - interval '1 s'`, started_at: 'now()' },
    }),
    attemptOf(running, { prompt_id: `'${promptId}'`, posted_at: 'now()' }),
    insertOf(completed, {
      ...{ state: `'completed'`, attempt: '1', outputs, stored_bytes: '12', fingerprint: `'f'` },
      finished_at: 'now()',
    }),
    attemptOf(completed, { gpu_ms: '1000', finished_at: 'now()' }),
    insertOf(ids.failed ?? '', { state: `'failed'`, attempt: '1', finished_at: 'now()' }),
  ].join('\n');
}
