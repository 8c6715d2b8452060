import { setTimeout as delay } from 'node:timers/promises';
import { GatewayError } from '../../src/core/errors.ts';
import type { Database } from '../../src/db/connect.ts';
import { sql } from '../../src/db/drizzle.ts';
import { translateDatabaseError } from '../../src/db/errors.ts';
import { type Cut, cuts, type TcpProxy } from './tcp-proxy.ts';

export interface CutReport {
  readonly cuts: number;
  readonly queries: number;
  /** Queries that a cut broke off, all of them as `unavailable`. */
  readonly lost: number;
}

/**
 * Cuts connections `count` times under queries, transactions and notices, in the middle of messages and
 * between them, in order and with resets. Whatever is thrown outside of a query ends the process.
 *
 * @throws Error when a query ends otherwise than with its own rows or as `unavailable`.
 */
export async function cutConnections(
  database: Database,
  proxy: TcpProxy,
  count: number,
): Promise<CutReport> {
  await database.orm.execute(sql`create table if not exists cut_pairs (id uuid, half int)`);
  const report = { cuts: 0, queries: 0, lost: 0 };
  const stop = new AbortController();
  const workers = Array.from({ length: 12 }, (_, i) => work(database, i, stop.signal, report));
  const cutting = cutAll(proxy, count, report).finally(() => stop.abort());
  await Promise.all([cutting, ...workers]);
  return report;
}

async function cutAll(proxy: TcpProxy, count: number, report: { cuts: number }): Promise<void> {
  for (; report.cuts < count; report.cuts++) {
    const how = cuts[report.cuts % cuts.length] as Cut;
    if (Math.random() < 0.2) {
      proxy.cut(how);
    } else {
      proxy.cutNext(how);
      while (proxy.isArmed) await delay(1);
    }
    await delay(Math.random() * 10);
  }
}

async function work(
  { orm }: Database,
  worker: number,
  signal: AbortSignal,
  report: { queries: number; lost: number },
): Promise<void> {
  for (let i = 0; !signal.aborted; i++) {
    report.queries++;
    try {
      if ((worker + i) % 3 === 0) {
        await orm.transaction(async (inner) => {
          const id = crypto.randomUUID();
          await inner.execute(sql`insert into cut_pairs values (${id}, 1)`);
          await inner.execute(sql`insert into cut_pairs values (${id}, 2)`);
          await inner.execute(sql`select pg_notify('tmlsr_cuts', ${id})`);
        });
      } else {
        const size = 1 + ((worker * 7 + i) % 200);
        const rows = await orm.execute<{ n: number }>(
          sql`select n, repeat('x', 100) as text from generate_series(1, ${size}::int) n`,
        );
        expectRows(rows as unknown as { n: number }[], size);
      }
    } catch (error) {
      const translated = translateDatabaseError(error);
      if (!(translated instanceof GatewayError)) throw error;
      report.lost++;
      // As those do who are told that the database is away.
      await delay(5);
    }
  }
}

function expectRows(rows: readonly { readonly n: number }[], size: number): void {
  const isWhole = rows.length === size && rows.every((row, i) => row?.n === i + 1);
  if (!isWhole) throw new Error(`${size} rows were asked for, and others came: ${rows.length}`);
}

/** Transactions of which one half is there without the other. */
export async function halves({ orm }: Database): Promise<number> {
  const rows = await orm.execute(sql`select id from cut_pairs group by id having count(*) <> 2`);
  return (rows as unknown as unknown[]).length;
}
