import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import postgres from 'postgres';
import { GatewayError } from '../src/core/errors.ts';
import { realTempo, type Tempo } from '../src/core/tempo.ts';
import { connectDatabase, type Database } from '../src/db/connect.ts';
import { sql } from '../src/db/drizzle.ts';
import { reaching } from '../src/db/errors.ts';
import { rowsOf } from '../src/db/rows.ts';
import type { Logger } from '../src/telemetry/logger.ts';
import { cutConnections, halves } from './support/connection-cuts.ts';
import { eventually } from './support/eventually.ts';
import { Pooler } from './support/pooler.ts';
import { TcpProxy } from './support/tcp-proxy.ts';
import { createTestDatabase, type TestDatabase } from './support/test-database.ts';
import { TestGateway } from './support/test-gateway.ts';

const waits: Tempo['database'] = {
  ...realTempo.database,
  reconnectPauseMs: 10,
  idleTransactionDeadlineMs: 300,
  statementDeadlineMs: 400,
  queryDeadlineMs: 500,
  migrationLockPatienceMs: 300,
  migrationLookEveryMs: 20,
  listenCheckEveryMs: 200,
  noticeDeadlineMs: 300,
  closeDeadlineMs: 1_000,
};

describe('faults of the database', () => {
  const cleanup = new AsyncDisposableStack();
  let scratch: TestDatabase;
  let url: string;
  let admin: postgres.Sql;

  before(async () => {
    scratch = cleanup.use(await createTestDatabase('postgres'));
    assert.ok(scratch.options.engine === 'postgres');
    url = scratch.options.url;
    admin = postgres(url, { max: 1, onnotice: () => {} });
    cleanup.defer(() => admin.end());
  });
  after(() => cleanup.disposeAsync());

  const connect = (address: string, logger?: Logger): Promise<Database> =>
    connectDatabase({ engine: 'postgres', url: address, poolSize: 4 }, waits, logger);
  const pids = async ({ orm }: Database): Promise<number> => {
    const all = Array.from({ length: 4 }, () =>
      orm.transaction(async (inner) => {
        const rows = await inner.execute(sql`select pg_backend_pid() as pid, pg_sleep(0.05)`);
        return rowsOf<{ pid: number }>(rows)[0]?.pid;
      }),
    );
    return new Set(await Promise.all(all)).size;
  };

  it('is cut a hundred times, and neither dies, nor mixes rows, nor loses a connection', async () => {
    await using proxy = await TcpProxy.before(url);
    await using database = await connect(proxy.through(url));
    let sessions = 0;
    await database.listen(
      'tmlsr_cuts',
      () => {},
      () => sessions++,
    );
    const report = await cutConnections(database, proxy, 100);
    assert.equal(report.cuts, 100);
    assert.ok(report.lost > 0);
    assert.equal(await halves(database), 0);
    assert.equal(await pids(database), 4);
    assert.ok(sessions > 1, 'the listening connection is cut and comes back');
  });

  it('returns whole rows after a statement that broke off, on every connection', async () => {
    await using database = await connect(url);
    const broken = sql`select i, 1 / (4 - i) from generate_series(1, 9) i`;
    for (let i = 0; i < 10; i++) {
      await assert.rejects(async () => await database.orm.execute(broken));
      const rows = rowsOf(await database.orm.execute(sql`select 1 as one`));
      assert.deepEqual([...rows], [{ one: 1 }]);
    }
  });

  it('gives up a half-open connection in time, and goes on with new ones', async () => {
    await using proxy = await TcpProxy.before(url);
    await using database = await connect(proxy.through(url));
    for (const fails of [
      () => database.orm.execute(sql`select 1`),
      () => database.orm.transaction((inner) => inner.execute(sql`select 1`)),
    ]) {
      assert.equal(await pids(database), 4);
      const startedAt = performance.now();
      proxy.freeze();
      await assert.rejects(() => reaching(fails()), { code: 'unavailable' });
      assert.ok(performance.now() - startedAt < waits.queryDeadlineMs + 1_000);
      // The others were half-open, too.
      await eventually(() => assert.equal(proxy.size, 0), 1_000);
    }
    assert.equal(await pids(database), 4);
  });

  it('waits for the locks of a frozen transaction until the server ends that one', async () => {
    await using frozen = await connect(url);
    await using database = await connect(url);
    const take = sql`select pg_advisory_xact_lock(1)`;
    const transaction = frozen.orm.transaction(async (inner) => {
      await inner.execute(take);
      await assert.doesNotReject(async () => await database.orm.execute(take));
      await inner.execute(take);
    });
    await assert.rejects(() => reaching(transaction), { code: 'unavailable' });
    const { idleTransactionDeadlineMs, statementDeadlineMs, queryDeadlineMs } = realTempo.database;
    assert.ok(
      idleTransactionDeadlineMs < statementDeadlineMs && statementDeadlineMs < queryDeadlineMs,
    );
  });

  it('notices that the listening connection is half-open', async () => {
    await using proxy = await TcpProxy.before(url);
    await using database = await connect(proxy.through(url));
    const heard: string[] = [];
    let sessions = 0;
    await database.listen(
      'tmlsr_faults',
      (payload) => heard.push(payload),
      () => sessions++,
    );
    proxy.freeze();
    await eventually(() => assert.equal(sessions, 2), 10_000);
    await admin`select pg_notify('tmlsr_faults', 'again')`;
    await eventually(() => assert.deepEqual(heard, ['again']), 10_000);
  });

  it('works through a pooler that keeps sessions, with its defaults', async () => {
    await using pooler = await Pooler.start(url, 'session');
    await using database = await connect(pooler.url);
    const heard: string[] = [];
    await database.listen(
      'tmlsr_faults',
      (payload) => heard.push(payload),
      () => {},
    );
    await database.orm.execute(sql`select pg_notify('tmlsr_faults', 'pooled')`);
    await eventually(() => assert.deepEqual(heard, ['pooled']), 10_000);
    const settings = await database.orm.execute(
      sql`select current_setting('statement_timeout') as timeout, current_setting('jit') as jit`,
    );
    assert.deepEqual([...rowsOf(settings)], [{ timeout: '400ms', jit: 'off' }]);
    assert.equal(await pids(database), 4);
  });

  it('names a pooler that gives connections away, and leaves nothing behind there', async () => {
    await using pooler = await Pooler.start(url, 'transaction');
    await assert.rejects(connect(pooler.url), unavailable(/pooler .* pool_mode=session/));
    await using database = await connect(url);
    await database.orm.execute(sql`select 1`);
  });

  it('tells who has the lock for migrations, and waits no longer than its limit', async () => {
    const logged: [unknown, string][] = [];
    const logger = { warn: (fields: unknown, event: string) => logged.push([fields, event]) };
    await admin`select pg_advisory_lock(7469105)`;
    try {
      const [session] = await admin`select pg_backend_pid() as pid`;
      const holder = new RegExp(`PID ${session?.pid}, postgres.js`);
      await assert.rejects(connect(url, logger as unknown as Logger), unavailable(holder));
      const [[fields, event] = [], ...others] = logged;
      assert.equal(event, 'database.awaits-migration');
      assert.match((fields as { holder: string }).holder, holder);
      assert.equal(others.length, 0);
    } finally {
      await admin`select pg_advisory_unlock(7469105)`;
    }
    await using database = await connect(url);
    await database.orm.execute(sql`select 1`);
  });

  it('keeps its tables in the schema of the address, one record of migrations each', async () => {
    for (const schema of ['first own', 'second']) {
      const address = `${url}?schema=${encodeURIComponent(schema)}`;
      await using database = await connect(address);
      await database.orm.execute(sql`insert into task_counts values (${schema}, 'pending', 0, 1)`);
    }
    const rows = await admin`select workflow from "first own".task_counts`;
    assert.deepEqual([...rows], [{ workflow: 'first own' }]);
  });

  const wrong: [string, (address: URL) => void, RegExp][] = [
    [
      'database',
      (at) => Object.assign(at, { pathname: '/none' }),
      /"none" does not exist \(3D000\)/,
    ],
    [
      'role',
      (at) => Object.assign(at, { username: 'nobody' }),
      /"nobody" does not exist \(28000\)/,
    ],
    ['host', (at) => Object.assign(at, { hostname: 'no.invalid' }), /no such host|looked up/],
    ['port', (at) => Object.assign(at, { port: '1' }), /nothing listens there \(ECONNREFUSED\)/],
    ['TLS', (at) => at.searchParams.set('sslmode', 'require'), /SSL_NOT_SUPPORTED/],
    [
      'file',
      (at) => Object.assign(at, { search: 'sslmode=verify-ca&sslrootcert=/none' }),
      /ENOENT/,
    ],
    [
      'attributes',
      (at) => at.searchParams.set('target_session_attrs', 'standby'),
      /kind of server/,
    ],
  ];
  for (const [what, spoil, reason] of wrong) {
    it(`says in a sentence without the password that the ${what} is wrong`, async () => {
      const address = new URL(url);
      address.password = 'sesame';
      spoil(address);
      await assert.rejects(connect(address.href), (error) => {
        assert.ok(unavailable(reason)(error));
        assert.doesNotMatch((error as Error).message, /sesame|\n/);
        return true;
      });
    });
  }

  it('answers 503 in every API for as long as the database may only be read', async () => {
    const { pathname } = new URL(url);
    const name = pathname.slice(1);
    const readOnly = (value: 'on' | 'off') =>
      admin.unsafe(`begin; set transaction read write;
        alter database ${name} set default_transaction_read_only = ${value}; commit;
        select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and pid <> pg_backend_pid()`);
    await using gateway = await TestGateway.start({
      engine: 'postgres',
      backends: [],
      database: scratch,
      env: { QUEUE_WHEN_UNAVAILABLE: 'true' },
    });
    const task = { url: 'https://example.com/a.png', workflow: 'esrgan_image_4x' };
    const submit = () => gateway.call('POST', '/tasks', task);
    await readOnly('on');
    try {
      const id = randomUUID();
      for (const answer of [
        await submit(),
        await submit(),
        await gateway.call('GET', `/tasks/${id}`),
        await gateway.call('GET', `/task-manager/api/v1/tasks/${id}`),
        await gateway.call('GET', `/uformer/api/image_status/${id}`),
        await gateway.call('GET', '/upscale-service/api/v1/status/1234567890123456789'),
      ]) {
        assert.equal(answer.status, 503);
        assert.ok(answer.headers['retry-after']);
      }
    } finally {
      await readOnly('off');
    }
    await eventually(async () => assert.equal((await submit()).status, 200), 10_000);
  });
});

function unavailable(reason: RegExp) {
  return (error: unknown): boolean =>
    error instanceof GatewayError && error.code === 'unavailable' && reason.test(error.message);
}
