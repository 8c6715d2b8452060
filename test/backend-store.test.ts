import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import postgres from 'postgres';
import type { BackendReport } from '../src/core/backend.ts';
import type { Database } from '../src/db/connect.ts';
import { loadPostgresJs } from '../src/db/drizzle.ts';
import * as schema from '../src/db/schema.ts';
import { BackendStore } from '../src/pool/backend-store.ts';
import {
  connectTestDatabase,
  createTestDatabase,
  type TestDatabase,
  urlOf,
} from './support/test-database.ts';

const labels = Array.from({ length: 12 }, (_, i) => `http://10.0.0.${i + 10}:8188`);

describe('the store of backends', () => {
  let scratch: TestDatabase;
  let database: Database;

  before(async () => {
    scratch = await createTestDatabase('postgres');
    database = await connectTestDatabase(scratch.options);
  });
  after(async () => {
    await database[Symbol.asyncDispose]();
    await scratch[Symbol.asyncDispose]();
  });

  it('lets many gateways renew, take and give up leases at the same time', async () => {
    const failures: unknown[] = [];
    const gateway = async (nth: number) => {
      const owner = randomUUID();
      const store = new BackendStore(database.orm, {
        owner,
        leaseMs: 60_000,
        forgottenAfterMs: 60_000,
      });
      // Each takes others than the rest, from all over the list.
      const share = labels.filter((_, i) => i % 4 === nth);
      for (let round = 0; round < 60; round += 1) {
        await store.renew(labels);
        await store.take(share);
        await store.forget();
        if (round % 10 === 9) await store.leave();
      }
      await store.renew(labels);
      return (await store.take(share)).length;
    };
    const taken = await Promise.all(
      [0, 1, 2, 3].map((nth) => gateway(nth).catch((error) => failures.push(error.cause ?? error))),
    );
    assert.deepEqual(failures, []);
    assert.deepEqual(taken, [3, 3, 3, 3]);
  });

  it('writes the reports of all its backends in one statement, and none of another’s', async () => {
    const statements: string[] = [];
    const client = postgres(urlOf(scratch), { max: 1 });
    const logQuery = (text: string) => void statements.push(text);
    const orm = loadPostgresJs().drizzle(client, { schema, logger: { logQuery } });
    const options = { leaseMs: 60_000, forgottenAfterMs: 60_000 };
    const mine = new BackendStore(orm, { ...options, owner: randomUUID() });
    const others = new BackendStore(orm, { ...options, owner: randomUUID() });
    const [first, second, third] = ['http://a:1', 'http://b:1', 'http://c:1'] as const;
    await mine.renew([first, second, third]);
    await mine.take([first, second]);
    await others.take([third]);
    statements.length = 0;

    const told = [first, second, third].map((label, i) => [label, reportOf(`${i}`)] as const);
    await mine.report(new Map(told));

    assert.equal(statements.length, 1);
    const records = new Map((await mine.list()).map(({ label, report }) => [label, report]));
    assert.deepEqual(records.get(first), reportOf('0'));
    assert.deepEqual(records.get(second), reportOf('1'));
    assert.equal(records.get(third), null);
    await client.end();
  });
});

function reportOf(reason: string): BackendReport {
  return {
    state: 'idle',
    reason,
    since: '2026-01-01T00:00:00.000Z',
    lastActiveAt: null,
    version: null,
    devices: [],
    task: null,
    nextTask: null,
    unfetched: 0,
    warm: null,
    busyShare: 0,
    cannotRun: {},
    isKnown: true,
    maxInputBytes: 1,
    sharesInputs: false,
  };
}
