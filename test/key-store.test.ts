import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, beforeEach, describe, it } from 'node:test';
import { AuditStore } from '../src/audit/audit-store.ts';
import type { Scope } from '../src/core/caller.ts';
import type { Database } from '../src/db/connect.ts';
import { sql } from '../src/db/drizzle.ts';
import { rowsOf } from '../src/db/rows.ts';
import { KeyService } from '../src/keys/key-service.ts';
import { KeyStore } from '../src/keys/key-store.ts';
import { Keyring, type SettingsKey } from '../src/keys/keyring.ts';
import { testTempo } from './support/tempo.ts';
import {
  connectTestDatabase,
  createTestDatabase,
  engines,
  type TestDatabase,
} from './support/test-database.ts';

const scopes: readonly Scope[] = ['tasks:read', 'graphs'];
const hourMs = 3_600_000;

for (const engine of engines) {
  describe(`keys on ${engine}`, () => {
    let scratch: TestDatabase;
    let database: Database;
    let store: KeyStore;
    let audit: AuditStore;

    before(async () => {
      scratch = await createTestDatabase(engine);
      database = await connectTestDatabase(scratch.options);
      const gateway = randomUUID();
      store = new KeyStore(database.orm, gateway);
      audit = new AuditStore(database.orm, gateway);
    });
    beforeEach(async () => {
      await database.orm.execute(sql`delete from api_keys`);
      await database.orm.execute(sql`delete from operator_events`);
    });
    after(async () => {
      await database[Symbol.asyncDispose]();
      await scratch[Symbol.asyncDispose]();
    });

    /** With a copy of the table that nobody else brings up to date. */
    async function open(settings: readonly SettingsKey[] = []) {
      const tempo = { ...testTempo.keys, usesTogetherMs: hourMs };
      const keyring = await Keyring.open({ settings, store, isShared: false, tempo });
      const audit = { recorded: () => {} };
      return {
        keyring,
        keys: new KeyService({ store, audit, changed: keyring.outdate }),
        [Symbol.asyncDispose]: () => keyring[Symbol.asyncDispose](),
      };
    }

    function grant(name: string, change = {}) {
      return { name, tenant: 'studio', scopes, expiresAt: null, ...change };
    }

    it('know their bearer from when they are made until they are revoked', async () => {
      await using opened = await open();
      const { keyring, keys } = opened;
      const { key, id } = await keys.create('ops', grant('ci'));
      const caller = await keyring.find(key);
      assert.deepEqual(caller, { tenant: 'studio', key: 'ci', scopes: new Set(scopes) });
      assert.deepEqual(keyring.now(key), caller);
      await keys.revoke('ops', id);
      // Not even for a moment.
      assert.equal(keyring.now(key), null);
      assert.equal(await keyring.find(key), null);
      await assert.rejects(keys.revoke('ops', id), { code: 'key_unknown' });
      await assert.rejects(keys.rotate('ops', id, 0), { code: 'key_unknown' });
    });

    it('are shown without what their bearers send', async () => {
      await using opened = await open();
      const { keyring, keys } = opened;
      const expiresAt = new Date(Date.now() + hourMs);
      const { key, ...made } = await keys.create('ops', grant('ci', { expiresAt }));
      await keys.create('ops', grant('other'));
      const [first, second] = await keys.list();
      assert.deepEqual(first, made);
      assert.deepEqual({ ...made, ...grant('ci', { expiresAt }), lastUsedAt: null }, made);
      assert.ok(Math.abs(made.createdAt.getTime() - Date.now()) < 60_000);
      assert.equal(second?.name, 'other');
      const kept = rowsOf(await database.orm.execute(sql`select to_jsonb(k) from api_keys k`));
      assert.equal(kept.length, 2);
      assert.ok(!JSON.stringify(kept).includes(key.slice(24)));
      assert.ok(await keyring.find(key));
      await keys.revoke('ops', made.id);
      assert.deepEqual(
        (await keys.list()).map(({ name }) => name),
        ['other'],
      );
    });

    it('have a name of their own, until they are revoked', async () => {
      await using opened = await open();
      const { keys } = opened;
      const { id } = await keys.create('ops', grant('ci'));
      await assert.rejects(keys.create('ops', grant('ci')), { code: 'key_exists' });
      await keys.revoke('ops', id);
      await keys.create('ops', grant('ci'));
    });

    for (const [what, change] of [
      ['a name with a blank', { name: 'c i' }],
      ['a tenant without letters', { tenant: '' }],
      ['no scope', { scopes: [] }],
      ['an end that has passed', { expiresAt: new Date(Date.now() - 1) }],
    ] as const) {
      it(`are refused with ${what}`, async () => {
        await using opened = await open();
        await assert.rejects(opened.keys.create('ops', grant('ci', change)), {
          code: 'invalid_request',
          field: Object.keys(change)[0]?.replace('expiresAt', 'expires_at'),
        });
      });
    }

    it('go on for a while after they were rotated, or not', async () => {
      await using opened = await open();
      const { keyring, keys } = opened;
      const first = await keys.create('ops', grant('ci'));
      const second = await keys.rotate('ops', first.id, hourMs);
      assert.equal(second.id, first.id);
      assert.ok(await keyring.find(first.key));
      assert.ok(await keyring.find(second.key));
      await database.orm.execute(sql`
        update api_keys set former_until = now() - interval '1 s', edition = edition + 1`);
      keyring.outdate();
      assert.equal(await keyring.find(first.key), null);
      const third = await keys.rotate('ops', first.id, 0);
      assert.equal(await keyring.find(second.key), null);
      assert.ok(await keyring.find(third.key));
    });

    it('end when their time is over', async () => {
      await using opened = await open();
      const { keyring, keys } = opened;
      const expiresAt = new Date(Date.now() + hourMs);
      const { key } = await keys.create('ops', grant('ci', { expiresAt }));
      assert.ok(await keyring.find(key));
      await database.orm.execute(sql`
        update api_keys set expires_at = now() - interval '1 s', edition = edition + 1`);
      keyring.outdate();
      assert.equal(await keyring.find(key), null);
    });

    it('are asked for from the first one on, also when all are revoked', async () => {
      await using opened = await open();
      const { keyring, keys } = opened;
      assert.equal(keyring.isGuarded, false);
      assert.deepEqual((await keyring.find(undefined))?.scopes, new Set(['admin']));
      assert.ok(await keyring.find('whatever it is'));
      const { id } = await keys.create('ops', grant('ci'));
      assert.equal(await keyring.find(undefined), null);
      assert.equal(await keyring.find('whatever it is'), null);
      await keys.revoke('ops', id);
      assert.equal(await keyring.find(undefined), null);
      assert.equal(keyring.isGuarded, true);
    });

    it('stand beside those of the settings', async () => {
      const key = 'alice-secret-0123456789';
      await using opened = await open([{ name: 'alice', key, scopes }]);
      const { keyring, keys } = opened;
      assert.equal(keyring.isGuarded, true);
      assert.equal(await keyring.find(undefined), null);
      const made = await keys.create('ops', grant('ci'));
      assert.equal((await keyring.find(key))?.tenant, 'alice');
      assert.equal((await keyring.find(made.key))?.tenant, 'studio');
    });

    it('tell when they were last used, many at once', async () => {
      const made: { id: string; key: string }[] = [];
      {
        await using opened = await open();
        const { keyring, keys } = opened;
        for (const name of ['a', 'b', 'c']) made.push(await keys.create('ops', grant(name)));
        await keyring.find(made[0]?.key);
        await keyring.find(made[1]?.key);
        await keyring.find(`${made[2]?.key}x`);
      }
      const uses = (await store.list()).map(({ lastUsedAt }) => lastUsedAt !== null);
      assert.deepEqual(uses, [true, true, false]);
    });

    it('are on record with who made, rotated and revoked them', async () => {
      await using opened = await open();
      const { keys } = opened;
      const { id } = await keys.create('ops', grant('ci'));
      await assert.rejects(keys.create('late', grant('ci')));
      await keys.rotate('olga', id, 0);
      await keys.revoke('ops', id);
      await assert.rejects(keys.revoke('late', id));
      const body = { name: 'ci', tenant: 'studio', scopes };
      assert.deepEqual(
        (await audit.newest(9)).map(({ kind, actor, subject, body }) => [
          kind,
          actor,
          subject,
          body,
        ]),
        [
          ['key_revoked', 'ops', id, body],
          ['key_rotated', 'olga', id, body],
          ['key_created', 'ops', id, body],
        ],
      );
    });

    it('are read again only when one has changed', async () => {
      const first = await store.read('');
      assert.deepEqual(first, { stamp: '0', hasKeys: false, keys: new Map() });
      const made = { id: '0123456789abcdef', digest: 'd'.repeat(64) };
      await store.add('ops', made, grant('ci'));
      const second = await store.read(first?.stamp ?? '');
      assert.equal(second?.keys.get(made.id)?.name, 'ci');
      assert.equal(await store.read(second?.stamp ?? ''), null);
      await store.noteUse([made.id]);
      assert.equal(await store.read(second?.stamp ?? ''), null);
      await store.revoke('ops', made.id);
      const third = await store.read(second?.stamp ?? '');
      assert.deepEqual([third?.hasKeys, third?.keys.size], [true, 0]);
      // Another one in the place of one that was deleted by hand.
      await database.orm.execute(sql`delete from api_keys`);
      await store.add('ops', made, grant('other'));
      assert.equal((await store.read(second?.stamp ?? ''))?.keys.get(made.id)?.name, 'other');
    });
  });
}
