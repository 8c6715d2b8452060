import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import postgres from 'postgres';
import { TcpProxy } from './support/tcp-proxy.ts';
import { createTestDatabase, type TestDatabase } from './support/test-database.ts';

const mended = fileURLToPath(new URL('../vendor/postgres/src/index.js', import.meta.url));

/** The changes of `vendor/postgres/README.md`. The published version fails each of these tests. */
describe('the mended Postgres driver', () => {
  const cleanup = new AsyncDisposableStack();
  let database: TestDatabase;
  let url: string;
  let proxy: TcpProxy;

  before(async () => {
    database = cleanup.use(await createTestDatabase('postgres'));
    assert.ok(database.options.engine === 'postgres');
    url = database.options.url;
    proxy = cleanup.use(await TcpProxy.before(url));
    await using client = open(url);
    await client.sql`create table notes (text text)`;
  });
  after(() => cleanup.disposeAsync());

  it('is what the gateway and Drizzle import', () => {
    assert.equal(fileURLToPath(import.meta.resolve('postgres')), mended);
    const fromDrizzle = createRequire(import.meta.resolve('drizzle-orm/postgres-js'));
    assert.equal(fromDrizzle.resolve('postgres'), mended);
  });

  for (const [reason, statement, code] of [
    ['an expression', 'select i, 1 / (4 - i) from generate_series(1, 9) i', '22012'],
    ['the statement timeout', 'select i, pg_sleep(0.03 * i) from generate_series(1, 9) i', '57014'],
  ] as const) {
    it(`returns whole results after ${reason} broke one off`, async () => {
      await using client = open(url, { connection: { statement_timeout: 150 } });
      await assert.rejects(client.sql.unsafe(statement, [], { prepare: true }), { code });
      const rows = await client.sql`select i from generate_series(1, 3) i`;
      assert.deepEqual([...rows], [{ i: 1 }, { i: 2 }, { i: 3 }]);
    });
  }

  it('returns whole results after the connection broke off one', async () => {
    await using client = open(proxy.through(url));
    // Rows that are larger than the server's buffer are sent at once.
    const broken = client.sql`
      select repeat('x', 20000), pg_sleep(0.01) from generate_series(1, 1000)`;
    const rejected = assert.rejects(broken, { code: 'CONNECTION_CLOSED' });
    await delay(100);
    proxy.cut('fin');
    await rejected;
    assert.deepEqual([...(await client.sql`select 1 as one`)], [{ one: 1 }]);
  });

  it('sends nothing for a transaction whose connection is gone', async () => {
    await using client = open(url);
    const late = Promise.withResolvers<unknown>();
    const transaction = client.sql.begin(async (sql) => {
      await sql`insert into notes values ('first')`;
      await client.terminate(sql);
      // The pool connects again, by the connection that was the transaction's.
      await client.sql`select 1`;
      await sql`insert into notes values ('second')`.then(late.resolve, late.reject);
    });
    await assert.rejects(transaction, { code: 'CONNECTION_CLOSED' });
    await assert.rejects(late.promise, { code: 'CONNECTION_CLOSED' });
    assert.deepEqual([...(await client.sql`select * from notes`)], []);
  });

  it('survives a statement on a connection that has closed, and connects again', async () => {
    await using client = open(url);
    const transaction = client.sql.begin(async (sql) => {
      await client.terminate(sql);
      await client.closed;
      await sql`select 2`;
    });
    await assert.rejects(transaction, { code: 'CONNECTION_CLOSED' });
    assert.deepEqual([...(await client.sql`select 1 as one`)], [{ one: 1 }]);
  });

  it('rejects what waits inside a transaction whose connection closes', async () => {
    await using client = open(url, { max_pipeline: 1 });
    const statements = Promise.withResolvers<PromiseSettledResult<unknown>[]>();
    const transaction = client.sql.begin(async (sql) => {
      const all = [
        sql`select pg_terminate_backend(pg_backend_pid())`,
        sql`select 1`,
        sql`select 2`,
      ];
      statements.resolve(await Promise.allSettled(all));
    });
    await assert.rejects(transaction);
    const outcomes = await statements.promise;
    assert.ok(outcomes.every(({ status }) => status === 'rejected'));
  });

  it('does not tell the next query why the connection before was ended', async () => {
    await using client = open(url);
    await assert.rejects(client.terminate(client.sql, { quietly: false }), { code: '57P01' });
    assert.deepEqual([...(await client.sql`select 1 as one`)], [{ one: 1 }]);
  });

  it('keeps its connection for a transaction that begins behind another query', async () => {
    await using client = open(url, { max_pipeline: 1 });
    const { sql } = client;
    await sql`select 1`;
    const before = sql`select pg_sleep(0.02)`.execute();
    const transaction = sql.begin(async (inner) => {
      await inner`insert into notes values ('undone')`;
      await delay(20);
      throw new Error('undo');
    });
    const meanwhile = sql`insert into notes values ('done')`.execute();
    await assert.rejects(transaction, { message: 'undo' });
    await Promise.all([before, meanwhile]);
    assert.deepEqual([...(await sql`delete from notes returning text`)], [{ text: 'done' }]);
  });

  it('blames nobody else for a value that cannot be sent', async () => {
    await using client = open(url);
    const { sql } = client;
    await sql`select 1`;
    const [first, wrong, last] = await Promise.allSettled([
      sql`select 1 as n, pg_sleep(0.02)::text as slept`,
      sql`select ${undefined as unknown as string} as n`,
      sql`select 3 as n`,
    ]);
    assert.equal(wrong.status, 'rejected');
    assert.ok(first.status === 'fulfilled' && last.status === 'fulfilled');
    assert.deepEqual([first.value[0]?.n, last.value[0]?.n], [1, 3]);
  });

  it('gives up a connection that does not answer in time, and the line behind it', async () => {
    await using client = open(proxy.through(url), { query_timeout: 0.3 });
    await client.sql`select 1`;
    const before = proxy.size;
    proxy.freeze();
    const { sql } = client;
    const queries = Array.from({ length: 3 }, () => sql`select 1 as one`);
    for (const each of await Promise.allSettled(queries)) {
      assert.ok(each.status === 'rejected');
      assert.equal(each.reason.code, 'QUERY_TIMEOUT');
    }
    assert.deepEqual([...(await sql`select 1 as one`)], [{ one: 1 }]);
    assert.equal(proxy.size, before);
  });

  it('takes the answer that came while the process was busy', async () => {
    await using client = open(url, { query_timeout: 0.2 });
    await client.sql`select 1`;
    const answer = client.sql`select 1 as one, pg_sleep(0.05)`.execute();
    await delay(10);
    // Timers come next, and what was received after them.
    await new Promise(setImmediate);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 400);
    assert.equal((await answer)[0]?.one, 1);
  });

  it('ends, although a connection does not answer', async () => {
    await using own = await TcpProxy.before(url);
    const client = open(own.through(url));
    await client.sql`select 1`;
    own.freeze();
    await client.sql.end();
    assert.equal(own.size, 0);
  });

  it('tells at once where each connection is closed before it is open', async () => {
    let met = 0;
    await using closing = await listening((socket) => {
      met++;
      socket.end();
    });
    await using client = open(`postgres://postgres@127.0.0.1:${closing.port}/x`);
    await assert.rejects(async () => await client.sql`select 1`, { code: 'CONNECTION_CLOSED' });
    assert.equal(met, 1);
  });

  it('goes on to the next host, and to no end', async () => {
    await using refusing = await listening((socket) => socket.resetAndDestroy());
    const { hostname, port, pathname, username } = new URL(url);
    const server = { host: ['127.0.0.1', hostname], database: pathname.slice(1), username };
    await using client = open('', { ...server, port: [refusing.port, Number(port)] });
    assert.deepEqual([...(await client.sql`select 1 as one`)], [{ one: 1 }]);
    await using nowhere = open('', { ...server, port: [refusing.port, refusing.port] });
    await assert.rejects(async () => await nowhere.sql`select 1`);
  });

  it('drops a session that turned out to be read-only', async () => {
    await using client = open(url, { target_session_attrs: 'read-write' });
    const { sql } = client;
    await sql`set default_transaction_read_only = on`;
    await assert.rejects(async () => await sql`insert into notes values ('late')`, {
      code: '25006',
    });
    await sql`insert into notes values ('new')`;
    assert.deepEqual([...(await sql`delete from notes returning text`)], [{ text: 'new' }]);
  });

  it('sets up each connection before its first query', async () => {
    await using client = open(url, { setup: "set application_name = 'set up'; set jit = off" });
    for (let i = 0; i < 2; i++) {
      const [row] = await client.sql`select current_setting('application_name') as name`;
      assert.equal(row?.name, 'set up');
      await client.terminate(client.sql);
    }
    await using wrong = open(url, { setup: 'set no_such_thing = 1' });
    await assert.rejects(async () => await wrong.sql`select 1`, { code: '42704' });
  });
});

/** One connection, unless told otherwise, without the driver's pauses. */
function open(url: string, options: Record<string, unknown> = {}) {
  const closed = Promise.withResolvers<void>();
  const sql = postgres(url, {
    max: 1,
    backoff: () => 0,
    fetch_types: false,
    onnotice: () => {},
    onclose: () => closed.resolve(),
    ...options,
  } as postgres.Options<Record<string, never>>);
  return {
    sql,
    /** When a connection has closed for the first time. */
    closed: closed.promise,
    async terminate(
      on: postgres.Sql | postgres.TransactionSql,
      { quietly = true } = {},
    ): Promise<void> {
      const query = on`select pg_terminate_backend(pg_backend_pid())`;
      await (quietly ? query.catch(() => {}) : query);
    },
    [Symbol.asyncDispose]: () => sql.end({ timeout: 1 }),
  };
}

async function listening(onConnection: (socket: Socket) => void) {
  const server = createServer((socket) => {
    socket.on('error', () => {}).resume();
    onConnection(socket);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.close();
      await once(server, 'close');
    },
  };
}
