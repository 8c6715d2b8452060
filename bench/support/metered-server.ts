import { setTimeout as delay } from 'node:timers/promises';
import postgres from 'postgres';
import { connectDatabase, type Database } from '../../src/db/connect.ts';
import { PostgresServer } from '../../test/support/postgres-server.ts';

/** What was asked of a database, and what it took. */
export interface Asked {
  readonly statements: number;
  /** In which they ran there, milliseconds. */
  readonly ms: number;
  /** That were touched for them. */
  readonly pages: number;
}

/** A Postgres that counts what it is asked, by database. */
export class MeteredServer implements AsyncDisposable {
  readonly #server: PostgresServer;
  readonly #client: postgres.Sql;

  private constructor(server: PostgresServer) {
    this.#server = server;
    this.#client = postgres(server.url, { max: 1, onnotice: () => {} });
  }

  static async start(): Promise<MeteredServer> {
    await using parts = new AsyncDisposableStack();
    const server = parts.use(await PostgresServer.start());
    const client = postgres(server.url, { max: 1 });
    await client`alter system set shared_preload_libraries = 'pg_stat_statements'`;
    await client.end();
    await server.crash();
    await server.resume();
    const metered = new MeteredServer(server);
    await metered.#client`create extension pg_stat_statements`;
    parts.move();
    return metered;
  }

  /** Makes a database with the gateway's tables, and returns its address. */
  async create(name: string): Promise<string> {
    await this.#client.unsafe(`create database ${name}`);
    const url = new URL(this.#server.url);
    url.pathname = `/${name}`;
    await using _migrated = await this.connect(url.href);
    return url.href;
  }

  async connect(url: string): Promise<Database> {
    return await connectDatabase({ engine: 'postgres', url });
  }

  /** What the work asks of the database. */
  async asked(name: string, work: () => Promise<unknown>): Promise<Asked> {
    const before = await this.#read(name);
    await work();
    const after = await this.#read(name);
    return {
      statements: after.statements - before.statements,
      ms: after.ms - before.ms,
      pages: after.pages - before.pages,
    };
  }

  /** What is asked in so many milliseconds, a second of them. */
  async askedEachSecond(name: string, ms: number): Promise<Asked> {
    const { statements, ms: took, pages } = await this.asked(name, () => delay(ms));
    const each = 1_000 / ms;
    return { statements: statements * each, ms: took * each, pages: pages * each };
  }

  /** Of a table with its indexes, bytes. */
  async sizeOf(name: string, table: string): Promise<number> {
    const url = new URL(this.#server.url);
    url.pathname = `/${name}`;
    const client = postgres(url.href, { max: 1 });
    const [row] = await client`select pg_total_relation_size(${table})::float8 as bytes`;
    await client.end();
    return row?.bytes;
  }

  async #read(name: string): Promise<Asked> {
    const rows = await this.#client<Asked[]>`
      select coalesce(sum(calls), 0)::float8 as statements, coalesce(sum(total_exec_time), 0)::float8 as ms,
             coalesce(sum(shared_blks_hit + shared_blks_read), 0)::float8 as pages
        from pg_stat_statements join pg_database on pg_database.oid = dbid where datname = ${name}`;
    return rows[0] as Asked;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.end();
    await this.#server[Symbol.asyncDispose]();
  }
}
