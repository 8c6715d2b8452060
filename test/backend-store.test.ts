import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import type { Database } from '../src/db/connect.ts';
import { BackendStore } from '../src/pool/backend-store.ts';
import {
  connectTestDatabase,
  createTestDatabase,
  type TestDatabase,
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
});
