import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { after, before, beforeEach, describe, it } from 'node:test';
import { Audit } from '../src/audit/audit.ts';
import { AuditStore } from '../src/audit/audit-store.ts';
import type { GatewayError } from '../src/core/errors.ts';
import type { NewTask, TaskOutput } from '../src/core/task.ts';
import { realTempo } from '../src/core/tempo.ts';
import type { Database } from '../src/db/connect.ts';
import { sql } from '../src/db/drizzle.ts';
import { DiskStore } from '../src/storage/disk-store.ts';
import { removeOrphans } from '../src/tasks/result-orphans.ts';
import { ResultService } from '../src/tasks/result-service.ts';
import { ResultStore, type ResultStoreOptions } from '../src/tasks/result-store.ts';
import type { TaskView } from '../src/tasks/task-service.ts';
import { AuditLog } from '../src/telemetry/audit-log.ts';
import { createLogger } from '../src/telemetry/logger.ts';
import { ResultLog } from '../src/telemetry/result-log.ts';
import { bufferSource } from './support/byte-source.ts';
import { GatewayStores, newTask, owner } from './support/task-stores.ts';
import {
  connectTestDatabase,
  createTestDatabase,
  engines,
  type TestDatabase,
} from './support/test-database.ts';

const day = 24 * 3_600_000;
const never = new AbortController().signal;

for (const engine of engines) {
  describe(`stored results on ${engine}`, () => {
    let scratch: TestDatabase;
    let database: Database;
    let folder: string;
    let store: DiskStore;
    let stores: GatewayStores;
    let { tasks } = {} as GatewayStores;
    let records: AuditStore;

    before(async () => {
      scratch = await createTestDatabase(engine);
      database = await connectTestDatabase(scratch.options);
      folder = await mkdtemp(join(tmpdir(), 'tmlsr-results-'));
      store = await DiskStore.open({ root: folder, publicUrl: 'http://gateway' });
      stores = new GatewayStores(database);
      ({ tasks } = stores);
      records = new AuditStore(database.orm, stores.door.gateway);
    });
    beforeEach(async () => {
      await database.orm.execute(sql`delete from tasks`);
    });
    after(async () => {
      await database[Symbol.asyncDispose]();
      await scratch[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    });

    function service(
      options: Partial<ResultStoreOptions> = {},
      objects: Pick<DiskStore, 'open' | 'stat' | 'delete'> = store,
    ): ResultService {
      return new ResultService({
        results: new ResultStore(database, { retentionMs: null, maxBytes: null, ...options }),
        store: objects,
        log: new ResultLog(createLogger('silent')),
        audit: new Audit({ store: records, log: new AuditLog(createLogger('silent')) }),
        tempo: realTempo.results,
      });
    }

    /** Submits a task and completes it, its result and a thumbnail in the store. */
    async function complete(
      change: Partial<NewTask> = {},
      { content = 'result', finishedAgoMs = 0, output = {} as Partial<TaskOutput> } = {},
    ): Promise<string> {
      const { id } = await tasks.insert(newTask(change));
      const claim = await stores.claim(id, 'http://backend');
      const key = `${id}/result.png`;
      const thumbnailKey = `${key}.thumb.webp`;
      for (const each of [key, thumbnailKey]) {
        const options = { contentType: 'image/png', signal: never };
        await store.put(each, bufferSource(content), options);
      }
      await stores.complete(claim, [
        {
          name: 'result',
          key,
          thumbnailKey,
          size: content.length,
          sha256: 'ab',
          contentType: 'image/png',
          input: null,
          output: null,
          ...output,
        },
      ]);
      await database.orm.execute(
        sql`update tasks set finished_at = now() - ${finishedAgoMs} * interval '1 ms'
             where id = ${id}`,
      );
      return id;
    }

    async function view(id: string): Promise<TaskView> {
      const task = await tasks.find(id, owner);
      assert.ok(task);
      const outputs = (task.outputs ?? []).map((output) => ({
        ...output,
        url: '',
        thumbnailUrl: null,
      }));
      return { ...task, outputs };
    }

    /** Whether the objects of the task are there, and whether its record says so. */
    async function stored(id: string): Promise<boolean> {
      const objects = await Promise.all(
        ['result.png', 'result.png.thumb.webp'].map((name) => store.stat(`${id}/${name}`, never)),
      );
      const areThere = objects.map((each) => each !== null);
      const { removedAt } = await view(id);
      assert.deepEqual(areThere, [removedAt === null, removedAt === null]);
      return removedAt === null;
    }

    /** How long the results are kept from now on, milliseconds. */
    async function keptMs(id: string): Promise<number | null> {
      const { keepUntil } = await view(id);
      return keepUntil && keepUntil.getTime() - Date.now();
    }

    it('gives out the main result, whole and in part', async () => {
      const id = await complete({}, { content: 'abcdef' });
      const results = service();
      const stat = await results.stat(await view(id), never);
      assert.equal(stat?.size, 6);
      assert.equal(stat.contentType, 'image/png');
      const whole = await results.open(await view(id), null, never);
      assert.equal(await text(whole?.body), 'abcdef');
      assert.equal(whole?.etag, stat.etag);
      const part = await results.open(await view(id), { start: 1, end: 2 }, never);
      assert.equal(await text(part?.body), 'bc');
      assert.equal(part?.size, 6);
    });

    it('has nothing of a task that waits, whose result was removed, or went to its client', async () => {
      const results = service();
      const { id: waiting } = await tasks.insert(newTask());
      const removed = await complete();
      await results.discard(removed, owner);
      const delivered = await complete({}, { output: { deliveredTo: 'https://client.test/a' } });
      for (const id of [waiting, removed, delivered]) {
        assert.equal(await results.stat(await view(id), never), null);
        assert.equal(await results.open(await view(id), null, never), null);
      }
    });

    it('removes a result that is discarded, and keeps the record', async () => {
      const id = await complete();
      const other = await complete();
      await service().discard(id, owner);
      assert.equal(await stored(id), false);
      assert.equal(await stored(other), true);
      const task = await view(id);
      assert.equal(task.state, 'completed');
      assert.equal(task.outputs.length, 1);
      await service().discard(id, owner);
    });

    it('removes a collected result at once, or when its time is over', async () => {
      const results = service();
      const atOnce = await complete();
      await results.collected(atOnce, owner, 0);
      assert.equal(await stored(atOnce), false);
      assert.ok((await view(atOnce)).collectedAt);

      const later = await complete();
      await results.collected(later, owner, 60_000);
      assert.ok((await view(later)).collectedAt);
      await results.sweep(never);
      assert.equal(await stored(later), true);
      await isOver(later);
      await results.sweep(never);
      assert.equal(await stored(later), false);
    });

    it('keeps results as long as their task asked, counted from its completion', async () => {
      const id = await complete({ keepMs: 3_600_000 });
      assert.ok(Math.abs(((await keptMs(id)) ?? 0) - 3_600_000) < 30_000);
      const asUsual = await complete();
      assert.equal(await keptMs(asUsual), null);
    });

    it('puts off when results go, and never forward', async () => {
      const results = service();
      const id = await complete({ keepMs: 60_000 });
      await results.keep(id, owner, 3_600_000);
      const kept = (await keptMs(id)) ?? 0;
      assert.ok(kept > 3_500_000);
      await results.keep(id, owner, 1_000);
      assert.ok(Math.abs(((await keptMs(id)) ?? 0) - kept) < 30_000);
    });

    it('leaves for ever what is kept for ever, and for days what is kept for days', async () => {
      const id = await complete();
      await service().keep(id, owner, 60_000);
      assert.equal(await keptMs(id), null);
      await service({ retentionMs: 7 * day }).keep(id, owner, 60_000);
      assert.ok(((await keptMs(id)) ?? 0) > 6 * day);
    });

    it('knows no task of another owner', async () => {
      const id = await complete({ tenant: 'a' });
      const results = service();
      for (const other of [
        { dialect: 'upscale', tenant: null },
        { dialect: 'tmlsr', tenant: 'b' },
      ]) {
        for (const call of [
          () => results.collected(id, other, 0),
          () => results.keep(id, other, 1),
          () => results.discard(id, other),
        ]) {
          await assert.rejects(call, (error: GatewayError) => error.code === 'task_not_found');
        }
        assert.deepEqual(await results.usage(other), []);
      }
      assert.equal(await stored(id), true);
    });

    it('lets a task be that has not completed', async () => {
      const { id } = await tasks.insert(newTask());
      const results = service();
      await results.collected(id, owner, 0);
      await results.keep(id, owner, 1_000);
      await results.discard(id, owner);
      const task = await view(id);
      assert.equal(task.state, 'pending');
      assert.deepEqual([task.keepUntil, task.collectedAt, task.removedAt], [null, null, null]);
    });

    it('sums up what an owner has stored, by kind', async () => {
      const results = service();
      await complete({}, { content: '1234' });
      await complete({}, { content: '123456' });
      await complete({ kind: 'video' }, { content: '12' });
      await complete({ tenant: 'other' });
      await results.discard(await complete(), owner);
      const usage = await results.usage({ dialect: 'tmlsr', tenant: '' });
      assert.deepEqual(
        usage.toSorted((a, b) => a.kind.localeCompare(b.kind)),
        [
          { kind: 'image', storedBytes: 10, count: 2 },
          { kind: 'video', storedBytes: 2, count: 1 },
        ],
      );
    });

    it('discards what was collected, and counts what was not', async () => {
      const results = service();
      const collected = await complete();
      await results.collected(collected, owner, day);
      const clip = await complete({ kind: 'video' });
      await results.collected(clip, owner, day);
      const uncollected = await complete();
      await tasks.insert(newTask());
      assert.deepEqual(await results.discardCollected('ops', owner, ['image']), {
        discarded: 1,
        inProgress: 1,
        uncollected: 1,
      });
      assert.equal(await stored(collected), false);
      assert.equal(await stored(uncollected), true);
      assert.equal(await stored(clip), true);
      assert.deepEqual(await results.discardCollected('ops', owner, ['image', 'video']), {
        discarded: 1,
        inProgress: 1,
        uncollected: 1,
      });
      assert.equal(await stored(clip), false);
      const nothing = await results.discardCollected('ops', owner, ['image', 'video']);
      assert.equal(nothing.discarded, 0);
      const acts = await records.newest(10);
      assert.deepEqual(
        acts.map(({ seq: _, at: __, ...act }) => act),
        [['image', 'video'], ['image']].map((types) => ({
          ...{ actor: 'ops', kind: 'results_discarded', subject: '' },
          gateway: stores.door.gateway,
          body: { dialect: 'tmlsr', types, tasks: 1 },
        })),
      );
    });

    it('removes results after so many days, and those whose task asked for less', async () => {
      const old = await complete({}, { finishedAgoMs: 8 * day });
      const young = await complete({}, { finishedAgoMs: 6 * day });
      const longer = await complete({ keepMs: day }, { finishedAgoMs: 9 * day });
      const shorter = await complete({ keepMs: day });
      await isOver(shorter);
      await service().sweep(never);
      assert.equal(await stored(old), true);
      assert.equal(await stored(shorter), false);
      await service({ retentionMs: 7 * day }).sweep(never);
      assert.equal(await stored(old), false);
      assert.equal(await stored(young), true);
      assert.equal(await stored(longer), true);
      assert.ok((await view(old)).removedAt);
    });

    it('removes the oldest when all together take too much', async () => {
      const ids: string[] = [];
      for (let index = 0; index < 6; index += 1) {
        const finishedAgoMs = (6 - index) * 1_000;
        ids.push(await complete({}, { content: 'x'.repeat(100), finishedAgoMs }));
      }
      const results = service({ maxBytes: 600 });
      await results.sweep(never);
      assert.deepEqual(
        await Promise.all(ids.map(stored)),
        ids.map(() => true),
      );
      // More than 600 bytes: of 95 % of that, five have room.
      ids.push(await complete({}, { content: 'x'.repeat(100) }));
      await results.sweep(never);
      const left = [false, false, true, true, true, true, true];
      assert.deepEqual(await Promise.all(ids.map(stored)), left);
      await results.sweep(never);
      assert.deepEqual(await Promise.all(ids.map(stored)), left);
    });

    it('spares the newest result, however large', async () => {
      const older = await complete({}, { finishedAgoMs: 1_000 });
      const newest = await complete({}, { content: 'x'.repeat(100) });
      await service({ maxBytes: 10 }).sweep(never);
      assert.equal(await stored(older), false);
      assert.equal(await stored(newest), true);
    });

    it('removes everything once when several sweep at a time', async () => {
      const ids: string[] = [];
      for (let index = 0; index < 30; index += 1) {
        ids.push(await complete({}, { finishedAgoMs: 2 * day }));
      }
      const kept = await complete();
      const options = { retentionMs: day, maxBytes: 1_000_000 };
      await Promise.all(Array.from({ length: 3 }, () => service(options).sweep(never)));
      assert.deepEqual(
        await Promise.all(ids.map(stored)),
        ids.map(() => false),
      );
      assert.equal(await stored(kept), true);
    });

    it('says so of results that a gateway removed as it died', async () => {
      const id = await complete({ keepMs: day });
      await isOver(id);
      for (const name of ['result.png', 'result.png.thumb.webp']) {
        await store.delete(`${id}/${name}`, never);
      }
      await service().sweep(never);
      assert.equal(await stored(id), false);
    });

    it('lets a client be done with a task, however it ended', async () => {
      const results = service();
      const kept = await complete();
      const delivered = await complete({}, { output: { deliveredTo: 'https://s3.example.com/x' } });
      const expired = await complete();
      await results.discard(expired, owner);
      const { id: canceled } = await tasks.insert(newTask());
      await tasks.cancel(canceled, owner);
      for (const id of [kept, delivered, expired, canceled]) {
        assert.equal((await view(id)).collectedAt, null);
        await results.dismiss(id, owner);
        assert.ok((await view(id)).collectedAt);
      }
      assert.equal(await stored(kept), false);
      assert.ok(await store.stat(`${delivered}/result.png`, never));
      assert.equal((await view(canceled)).keepUntil, null);
      const { id: waiting } = await tasks.insert(newTask());
      for (const [id, whose] of [
        [waiting, owner],
        [kept, { ...owner, dialect: 'upscale' }],
        [randomUUID(), owner],
      ] as const) {
        const notFound = (error: GatewayError) => error.code === 'task_not_found';
        await assert.rejects(() => results.dismiss(id, whose), notFound);
      }
      assert.equal((await view(waiting)).collectedAt, null);
    });

    it('tries again what the store fails to remove, and goes on with the others', async () => {
      const [one, other] = [await complete({ keepMs: day }), await complete({ keepMs: day })];
      await isOver(one);
      await isOver(other);
      const failing = {
        open: store.open.bind(store),
        stat: store.stat.bind(store),
        delete: async (key: string, signal: AbortSignal) => {
          if (key.startsWith(one)) throw new Error('The store is away');
          await store.delete(key, signal);
        },
      };
      await service({}, failing).sweep(never);
      assert.equal(await stored(one), true);
      assert.equal(await stored(other), false);
      await service({}, failing).discard(one, owner);
      assert.equal(await stored(one), true);
      await service().sweep(never);
      assert.equal(await stored(one), false);
    });

    it('removes at the start what tasks left that ended without it', async () => {
      const completed = await complete();
      const { id: waiting } = await tasks.insert(newTask());
      const { id: canceled } = await tasks.insert(newTask());
      await tasks.cancel(canceled, owner);
      const ofTask = (id: string, name: string) => `${id.replaceAll('-', '')}/${name}`;
      const secret = '0123456789abcdef0123456789abcdef';
      const orphans = [
        ofTask(canceled, 'result.png'),
        ofTask(canceled, `${secret}/result.png`),
        ofTask(completed, 'result-2.png'),
        ofTask(completed, `${secret}/result-2.png`),
      ];
      const others = [
        ofTask(waiting, 'result.png'),
        ofTask(completed, 'result.png'),
        ofTask(completed, 'small.webp'),
        ofTask(completed, `${secret}/other.png`),
        ofTask(waiting, `${secret}/result.png`),
        ofTask(randomUUID(), 'of-another-database.png'),
        `uploads/${randomUUID()}`,
        'notes.txt',
        `${randomUUID()}/x.png`,
      ];
      const young = ofTask(canceled, 'young.png');
      await database.orm.execute(sql`
        update tasks set outputs = jsonb_build_array(
          jsonb_build_object(
            'key', ${ofTask(completed, 'result.png')}::text,
            'thumbnailKey', ${ofTask(completed, 'small.webp')}::text),
          jsonb_build_object('key', ${ofTask(completed, `${secret}/other.png`)}::text))
         where id = ${completed}`);
      const longAgo = new Date(Date.now() - 2 * 3_600_000);
      for (const key of [...orphans, ...others, young]) {
        await store.put(key, bufferSource('x'), { contentType: 'image/png', signal: never });
        if (key !== young) await utimes(join(folder, key), longAgo, longAgo);
      }
      const log = new ResultLog(createLogger('silent'));
      await removeOrphans(
        { results: new ResultStore(database), store, log, tempo: realTempo.results },
        never,
      );
      const left = await Array.fromAsync(store.keys(never));
      assert.deepEqual(
        orphans.filter((key) => left.includes(key)),
        [],
      );
      assert.deepEqual(
        [...others, young].filter((key) => !left.includes(key)),
        [],
      );
    });

    /** As if the time of its results were over. */
    async function isOver(id: string): Promise<void> {
      await database.orm.execute(
        sql`update tasks set keep_until = now() - interval '1 s' where id = ${id}`,
      );
    }
  });
}

async function text(body: Readable | undefined): Promise<string> {
  assert.ok(body);
  return Buffer.concat(await body.toArray()).toString();
}
