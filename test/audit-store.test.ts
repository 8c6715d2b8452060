import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, beforeEach, describe, it } from 'node:test';
import { AuditStore } from '../src/audit/audit-store.ts';
import type { OperatorAct } from '../src/core/operator-event.ts';
import type { Database } from '../src/db/connect.ts';
import { sql } from '../src/db/drizzle.ts';
import { BackendStore } from '../src/pool/backend-store.ts';
import {
  connectTestDatabase,
  createTestDatabase,
  engines,
  type TestDatabase,
} from './support/test-database.ts';

const label = 'http://10.0.0.7:8188';
const url = 'http://user:password@10.0.0.7:8188';

function written(subject: string, body: OperatorAct['body'] = { before: null }): OperatorAct {
  return { actor: 'ops', kind: 'workflow_written', subject, body };
}

for (const engine of engines) {
  describe(`the record of operators' acts on ${engine}`, () => {
    const owner = randomUUID();
    let scratch: TestDatabase;
    let database: Database;
    let audit: AuditStore;
    let backends: BackendStore;

    before(async () => {
      scratch = await createTestDatabase(engine);
      database = await connectTestDatabase(scratch.options);
      audit = new AuditStore(database.orm, owner);
      const options = { owner, leaseMs: 15_000, forgottenAfterMs: 60_000 };
      backends = new BackendStore(database.orm, options);
    });
    beforeEach(async () => {
      await database.orm.execute(sql`delete from operator_events`);
      await database.orm.execute(sql`delete from backends`);
    });
    after(async () => {
      await database[Symbol.asyncDispose]();
      await scratch[Symbol.asyncDispose]();
    });

    /** What is on record, the oldest first. */
    async function recorded(): Promise<unknown[]> {
      const events = await audit.newest(100);
      return events.reverse().map(({ kind, actor, body }) => [kind, actor, body]);
    }

    it('tells the newest first, page by page', async () => {
      for (const subject of ['a', 'b', 'c', 'd']) await audit.add(written(subject));
      const [newest, ...older] = await audit.newest(2);
      assert.ok(newest);
      const { at, seq, ...told } = newest;
      assert.deepEqual(told, { ...written('d'), gateway: owner });
      assert.ok(Math.abs(at.getTime() - Date.now()) < 60_000);
      assert.deepEqual(
        older.map(({ subject }) => subject),
        ['c'],
      );
      const page = await audit.newest(2, older[0]?.seq ?? 0);
      assert.deepEqual(
        page.map(({ subject }) => subject),
        ['b', 'a'],
      );
      assert.deepEqual(await audit.newest(2, page[1]?.seq ?? 0), []);
      assert.ok(seq > (page[0]?.seq ?? seq));
    });

    it('keeps records for a while', async () => {
      for (let i = 0; i < 3; i += 1) await audit.add(written('old'));
      await database.orm.execute(sql`update operator_events set at = now() - interval '2 minutes'`);
      await audit.add(written('young'));
      assert.equal(await audit.removeOld(60_000), 3);
      assert.deepEqual(
        (await audit.newest(10)).map(({ subject }) => subject),
        ['young'],
      );
    });

    it('has what changed the pool, once, and without credentials', async () => {
      const added = await backends.add('ops', label, url, '/mnt/input');
      assert.deepEqual(added, { actor: 'ops', kind: 'backend_added', subject: label, body: {} });
      assert.equal(await backends.add('late', label, url), null);
      const drained = await backends.want('olga', label, 'draining');
      assert.deepEqual(drained?.body, { before: 'active' });
      assert.equal(await backends.want('late', label, 'draining'), null);
      await backends.want('ops', label, 'active');
      await backends.want('ops', label, 'removed');
      await backends.add('olga', label, url);
      assert.equal(await backends.want('ops', 'http://nowhere:1', 'draining'), null);
      assert.deepEqual(await recorded(), [
        ['backend_added', 'ops', {}],
        ['backend_drained', 'olga', { before: 'active' }],
        ['backend_resumed', 'ops', { before: 'draining' }],
        ['backend_removed', 'ops', { before: 'active' }],
        ['backend_added', 'olga', {}],
      ]);
      const all = await audit.newest(100);
      assert.ok(all.every(({ subject, gateway }) => subject === label && gateway === owner));
      assert.doesNotMatch(JSON.stringify(all), /password/);
    });

    it('has one record of what several do at once', async () => {
      await backends.add('ops', label, url);
      const names = ['a', 'b', 'c', 'd'];
      const outcomes = await Promise.all(
        names.map((name) => backends.want(name, label, 'draining')),
      );
      const [act, ...others] = outcomes.filter((outcome) => outcome !== null);
      assert.deepEqual(others, []);
      assert.deepEqual((await recorded()).slice(1), [
        ['backend_drained', act?.actor, { before: 'active' }],
      ]);
    });

    it('changes nothing of the pool where it cannot be written', async () => {
      await backends.add('ops', label, url);
      await database.orm.execute(sql`alter table operator_events rename to lost`);
      try {
        await assert.rejects(backends.want('ops', label, 'draining'));
        await assert.rejects(backends.add('ops', 'http://10.0.0.8:8188', url));
      } finally {
        await database.orm.execute(sql`alter table lost rename to operator_events`);
      }
      const all = await backends.list();
      assert.deepEqual(
        all.map(({ label: known, wanted }) => [known, wanted]),
        [[label, 'active']],
      );
    });
  });
}
